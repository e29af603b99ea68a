"""The audit: every rule sees the protection it is about go missing, and knows how to restore it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from partman.audit import Rule
from partman.errors import NotIsolatedError, PermissionDeniedError
from tests.database.audit_cases import CASES, NO_GAPS
from tests.database.audit_cases.case import Case
from tests.database.audit_support import (
    PROJECT,
    Opened,
    connect_as_superuser,
    found,
    gaps_seen_by,
    owner,
    undone,
)
from tests.support import SIX_TABLES, Database

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def protected(protected: Database) -> AsyncIterator[Opened]:
    """The migrated database without gaps, with one session for all tests."""
    session = await connect_as_superuser(protected)
    yield Opened(protected.url, session)
    await session.close()


async def test_a_migrated_database_has_no_gaps(protected: Opened) -> None:
    """Whoever adds a table without its protection fails this test."""
    connection = await asyncpg.connect(protected.url)
    try:
        assert await PROJECT.gaps(connection) == []
        assert {f"public.{name}" for name in SIX_TABLES} <= set(
            await PROJECT.tenant_tables(connection)
        )
    finally:
        await connection.close()


async def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} | {"invalid-index"} == {
        rule.name for rule in PROJECT.rules
    }


async def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in PROJECT.rules}) == len(PROJECT.rules)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_is_missing_is_named_and_its_remedy_restores_it(
    case: Case, protected: Opened
) -> None:
    async with undone(protected, superuser=case.superuser) as connection:
        if connection.get_server_version().major < case.since:
            pytest.skip(f"It takes PostgreSQL {case.since}.")
        names = {"owner": owner(protected), "database": protected.name}
        await connection.execute(case.breaking.format(**names))
        gaps = await gaps_seen_by(owner(protected), connection)
        assert (case.rule, case.object.format(**names)) in found(gaps)
        assert {gap.rule for gap in gaps} - case.also == {case.rule}
        for gap in gaps:
            # Not to be had in the transaction that is undone in the end.
            await connection.execute(gap.remedy.replace(" CONCURRENTLY", ""))
        assert await gaps_seen_by(owner(protected), connection) == []


@pytest.mark.parametrize("harmless", NO_GAPS)
async def test_harmless_objects_are_not_reported_as_gaps(harmless: str, protected: Opened) -> None:
    async with undone(protected, superuser=True) as connection:
        await connection.execute(harmless)
        assert await gaps_seen_by(owner(protected), connection) == []


async def test_a_key_that_is_declared_for_all_tenants_is_no_gap(protected: Opened) -> None:
    async with undone(protected) as connection:
        await connection.execute("CREATE UNIQUE INDEX k ON users (email)")
        declared = replace(PROJECT, global_keys={"users": ("k",)})
        assert await declared.gaps(connection) == []
        other_table = replace(PROJECT, global_keys={"partners": ("k",)})
        assert found(await other_table.gaps(connection)) == {
            ("unique-without-tenant", "k ON public.users")
        }


async def test_what_a_role_may_not_read_is_told_and_not_called_clean(protected: Opened) -> None:
    async with undone(protected, superuser=True) as connection:
        await connection.execute(
            "REVOKE SELECT ON pg_parameter_acl, pg_init_privs FROM PUBLIC;"
            "ALTER TABLE partners NO FORCE ROW LEVEL SECURITY;"
            f"SET LOCAL ROLE {owner(protected)}"
        )
        seen = await PROJECT.look(connection)
        assert found(seen.gaps) == {("row-level-security", "public.partners")}
        assert seen.not_asked == {
            "parameter-rights": "permission denied for table pg_parameter_acl",
            "catalog-rights": "permission denied for table pg_init_privs",
        }
        with pytest.raises(PermissionDeniedError, match="catalog-rights"):
            await PROJECT.gaps(connection)
        assert await PROJECT.gaps(connection, seen.not_asked) == seen.gaps


class TestATableWithoutProtection:
    async def test_is_reported_completely_and_its_remedies_protect_it(
        self, protected: Opened
    ) -> None:
        async with undone(protected) as connection:
            await connection.execute(
                """
                CREATE TABLE tasks (
                    id uuid PRIMARY KEY,
                    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
                    partner_id uuid NOT NULL REFERENCES partners ON DELETE CASCADE,
                    assignee_id uuid REFERENCES users ON DELETE SET NULL DEFERRABLE,
                    parent_id uuid REFERENCES tasks
                );
                GRANT ALL ON tasks TO partman_app;
                """
            )
            gaps = await gaps_seen_by(owner(protected), connection)
            assert found(gaps) == {
                ("row-level-security", "public.tasks"),
                ("tenant-policy", "public.tasks"),
                ("access-policy", "public.tasks"),
                ("app-rights", "public.tasks"),
                ("app-update", "public.tasks"),
                ("foreign-key-without-tenant", "tasks_partner_id_fkey ON public.tasks"),
                ("foreign-key-without-tenant", "tasks_assignee_id_fkey ON public.tasks"),
                ("foreign-key-without-tenant", "tasks_parent_id_fkey ON public.tasks"),
                ("foreign-key-without-index", "tasks_organization_id_fkey ON public.tasks"),
            }
            for gap in gaps:
                await connection.execute(gap.remedy.replace(" CONCURRENTLY", ""))
            assert await gaps_seen_by(owner(protected), connection) == []
            keys = await connection.fetch(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE conrelid = 'tasks'::regclass AND contype = 'f' ORDER BY conname"
            )
            assert [key[0] for key in keys] == [
                "FOREIGN KEY (organization_id, assignee_id) REFERENCES users(organization_id, id)"
                " ON DELETE SET NULL (assignee_id) DEFERRABLE",
                "FOREIGN KEY (organization_id) REFERENCES organizations(id) ON DELETE CASCADE",
                "FOREIGN KEY (organization_id, parent_id) REFERENCES tasks(organization_id, id)",
                "FOREIGN KEY (organization_id, partner_id)"
                " REFERENCES partners(organization_id, id) ON DELETE CASCADE",
            ]

    async def test_keeps_one_tenant_from_anothers_rows_once_the_remedies_have_run(
        self, protected: Opened
    ) -> None:
        async with undone(protected) as connection:
            await connection.execute(
                """
                CREATE TABLE tasks (organization_id uuid NOT NULL, title text);
                GRANT ALL ON tasks TO partman_app;
                """
            )
            for gap in await gaps_seen_by(owner(protected), connection):
                await connection.execute(gap.remedy)
            await connection.execute(
                """
                INSERT INTO tasks VALUES
                    ('00000000-0000-4000-8000-00000000000a', 'ours'),
                    ('00000000-0000-4000-8000-00000000000b', 'theirs');
                SET LOCAL partman.organization_id = '00000000-0000-4000-8000-00000000000a';
                SET LOCAL ROLE partman_app;
                """
            )
            assert await connection.fetchval("SELECT array_agg(title) FROM tasks") == ["ours"]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("UPDATE tasks SET organization_id = gen_random_uuid()")

    async def test_is_found_in_another_schema_and_by_any_name(self, protected: Opened) -> None:
        async with undone(protected) as connection:
            await connection.execute(
                """
                CREATE SCHEMA "C.R M";
                GRANT USAGE ON SCHEMA "C.R M" TO PUBLIC;
                CREATE TABLE "C.R M"."a""b" (
                    "Id" uuid PRIMARY KEY,
                    organization_id uuid REFERENCES organizations,
                    "its Parent" uuid CONSTRAINT "k K" REFERENCES "C.R M"."a""b"
                );
                GRANT UPDATE ON "C.R M"."a""b" TO partman_app;
                CREATE POLICY "any Body" ON "C.R M"."a""b" USING (true);
                CREATE RULE "r R" AS ON DELETE TO "C.R M"."a""b" DO INSTEAD NOTHING;
                ALTER TABLE "C.R M"."a""b" ADD CONSTRAINT "c C" CHECK (true) NOT VALID;
                GRANT SELECT ("Id") ON "C.R M"."a""b" TO partman_app WITH GRANT OPTION;
                GRANT USAGE ON SCHEMA "C.R M" TO partman_app WITH GRANT OPTION;
                """
            )
            gaps = await gaps_seen_by(owner(protected), connection)
            table = '"C.R M"."a""b"'
            assert found(gaps) == {
                ("row-level-security", table),
                ("tenant-policy", table),
                ("access-policy", table),
                ("policy-roles", f'"any Body" ON {table}'),
                ("policy-condition", f'"any Body" ON {table}'),
                ("app-update", table),
                ("row-without-tenant", f"organization_id ON {table}"),
                ("foreign-key-without-tenant", f'"k K" ON {table}'),
                ("foreign-key-without-index", f'"a""b_organization_id_fkey" ON {table}'),
                ("schema-usage", '"C.R M"'),
                ("rewrite-rule", f'"r R" ON {table}'),
                ("constraint-not-valid", f'"c C" ON {table}'),
                ("grant-option", table),
                ("grant-option", '"C.R M"'),
            } - {("access-policy", table)}
            for gap in gaps:
                await connection.execute(gap.remedy.replace(" CONCURRENTLY", ""))
            assert await gaps_seen_by(owner(protected), connection) == []

    async def test_may_be_partitioned(self, protected: Opened) -> None:
        async with undone(protected) as connection:
            await connection.execute(
                """
                CREATE TABLE visits (
                    organization_id uuid NOT NULL REFERENCES organizations, day date NOT NULL
                ) PARTITION BY RANGE (day);
                CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
                GRANT SELECT ON visits_1 TO partman_app;
                """
            )
            gaps = await gaps_seen_by(owner(protected), connection)
            assert found(gaps) == {
                ("row-level-security", "public.visits"),
                ("tenant-policy", "public.visits"),
                ("access-policy", "public.visits"),
                ("foreign-key-without-index", "visits_organization_id_fkey ON public.visits"),
                ("partition", "public.visits_1"),
            }
            for gap in gaps:
                await connection.execute(gap.remedy)
            assert await gaps_seen_by(owner(protected), connection) == []


async def test_a_role_without_any_rights_sees_the_same(protected: Opened) -> None:
    async with undone(protected, superuser=True) as connection:
        names = {"owner": owner(protected), "database": protected.name}
        for case in CASES:
            if (
                case.rule
                in {"partition", "view", "sequence", "foreign-key-clears-tenant", "grant-option"}
                and connection.get_server_version().major >= case.since
            ):
                await connection.execute("SAVEPOINT one")
                await connection.execute(case.breaking.format(**names))
                gaps = await gaps_seen_by(owner(protected), connection)
                assert gaps
                await connection.execute("CREATE ROLE partman_test_nobody")
                assert await gaps_seen_by("partman_test_nobody", connection) == gaps
                await connection.execute("ROLLBACK TO one")


async def test_every_way_to_a_right_counts(protected: Opened) -> None:
    """Through a role that the application is a member of, as well."""
    async with undone(protected, superuser=True) as connection:
        await connection.execute(
            """
            CREATE ROLE partman_test_group;
            GRANT TRUNCATE ON partners TO partman_test_group;
            ALTER ROLE partman_app INHERIT;
            GRANT partman_test_group TO partman_app;
            """
        )
        gaps = await gaps_seen_by(owner(protected), connection)
        assert found(gaps) == {
            ("app-rights", "public.partners"),
            ("role-membership", "partman_app"),
        }
        for gap in gaps:
            await connection.execute(gap.remedy)
        assert await gaps_seen_by(owner(protected), connection) == []


async def test_objects_dropped_with_their_parent_are_not_listed_again(protected: Opened) -> None:
    """What a role passed on with what it could, and what a child has of its parent."""
    async with undone(protected, superuser=True) as connection:
        await connection.execute(
            """
            CREATE TABLE archive () INHERITS (alerts);
            ALTER TABLE alerts ADD CONSTRAINT k CHECK (title <> '') NOT VALID;
            SET LOCAL SESSION AUTHORIZATION partman;
            GRANT SELECT, UPDATE (name) ON partners TO partman_app WITH GRANT OPTION;
            SET LOCAL SESSION AUTHORIZATION partman_app;
            GRANT SELECT ON partners TO partman_seed WITH GRANT OPTION;
            RESET SESSION AUTHORIZATION;
            """.replace("AUTHORIZATION partman;", f"AUTHORIZATION {owner(protected)};")
        )
        gaps = await gaps_seen_by(owner(protected), connection)
        assert [(gap.object, gap.reason, gap.remedy) for gap in gaps] == [
            (
                "public.partners",
                "partman_app may pass on SELECT, UPDATE (name).",
                "REVOKE GRANT OPTION FOR SELECT, UPDATE (name) ON TABLE public.partners"
                " FROM partman_app CASCADE;",
            ),
            (
                "k ON public.alerts",
                "It is NOT VALID: rows that were there before it may break it.",
                "ALTER TABLE public.alerts VALIDATE CONSTRAINT k;",
            ),
        ]


async def test_revoking_a_passed_on_right_keeps_the_grantors_own(
    protected: Opened,
) -> None:
    rights = """
        SELECT ARRAY(SELECT relacl::text FROM pg_class WHERE oid = 'partners'::regclass),
               ARRAY(SELECT attname || attacl::text FROM pg_attribute
                     WHERE attrelid = 'partners'::regclass AND attacl IS NOT NULL ORDER BY 1)
        """
    async with undone(protected) as connection:
        await connection.execute("GRANT SELECT (domain) ON partners TO partman_app")
        before = await connection.fetchrow(rights)
        await connection.execute(
            """
            GRANT SELECT ON partners TO partman_app WITH GRANT OPTION;
            SET LOCAL ROLE partman_app;
            GRANT SELECT (domain), SELECT (name) ON partners TO partman_seed;
            GRANT SELECT ON partners TO PUBLIC;
            """
        )
        for gap in await gaps_seen_by(owner(protected), connection):
            await connection.execute(gap.remedy)
        assert await connection.fetchrow(rights) == before


async def test_an_ignored_rule_is_not_asked(protected: Opened) -> None:
    async with undone(protected) as connection:
        await connection.execute("ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY")
        assert await gaps_seen_by(owner(protected), connection, {"row-level-security"}) == []


async def test_a_rule_cannot_write_sees_one_moment_and_is_not_compiled(
    protected: Opened,
) -> None:
    asks = Rule(
        "asks",
        "",
        "SELECT current_setting('transaction_isolation') AS object,"
        " current_setting('transaction_read_only') AS reason, current_setting('jit') AS remedy",
    )
    connection = await asyncpg.connect(protected.url)
    try:
        [gap] = await replace(PROJECT, rules=(asks,)).gaps(connection)
        assert (gap.object, gap.reason, gap.remedy) == ("repeatable read", "on", "off")
        assert await connection.fetchval("SHOW search_path") == '"$user", public'
    finally:
        await connection.close()


class TestADatabaseThatWasNotMigrated:
    async def test_is_refused_for_want_of_tables(
        self, empty_database: Database, protected: Opened
    ) -> None:
        connection = await asyncpg.connect(empty_database.url)
        try:
            with pytest.raises(NotIsolatedError, match=r"no table.*migrations forwards all"):
                await PROJECT.gaps(connection)
        finally:
            await connection.close()

    async def test_is_refused_for_want_of_roles(self, protected: Opened) -> None:
        async with undone(protected, superuser=True) as connection:
            await connection.execute("ALTER ROLE partman_auth RENAME TO partman_test_gone")
            with pytest.raises(NotIsolatedError, match=r"no role partman_auth.*forwards all"):
                await PROJECT.gaps(connection)
