"""The audit of a project with other names, keys and roles: no gap, and each mutation is found."""

from typing import Any

import asyncpg
import pytest

from partman.catalog.read import read_catalog
from partman.diagram.entities import entities
from partman.diagram.layout import lay_out
from tests.foreign.conftest import OpenShop

MUTATIONS = {
    "ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY": ("row-level-security", "public.tasks"),
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY": ("row-level-security", "public.{table}"),
    "DROP POLICY tenant_only ON {table}": ("tenant-policy", "public.{table}"),
    "ALTER POLICY tenant_only ON tasks USING (true)": ("tenant-policy", "public.tasks"),
    "ALTER POLICY tenant_only ON tasks WITH CHECK (true)": ("tenant-policy", "public.tasks"),
    "DROP POLICY tenant_access ON tasks": ("access-policy", "public.tasks"),
    "ALTER POLICY tenant_access ON tasks USING (true)": (
        "policy-condition",
        "tenant_access ON public.tasks",
    ),
    "ALTER POLICY tenant_access ON {table} USING (true)": (
        "policy-condition",
        "tenant_access ON public.{table}",
    ),
    "CREATE POLICY open ON tasks TO {api} USING (true)": ("policy-roles", "open ON public.tasks"),
    "GRANT TRUNCATE ON tasks TO {app}": ("app-rights", "public.tasks"),
    "GRANT DELETE ON {table} TO {app}": ("app-rights", "public.{table}"),
    "GRANT UPDATE ({column}) ON tasks TO {app}": ("app-update", "public.tasks"),
    "GRANT UPDATE (id) ON tasks TO {app}": ("app-update", "public.tasks"),
    "GRANT UPDATE (name) ON {table} TO {app}": ("app-update", "public.{table}"),
    "GRANT SELECT ON tasks TO {api}": ("rights-outside-a-tenant", "public.tasks"),
    "CREATE TABLE colors (id int); GRANT SELECT ON colors TO {app}": (
        "table-without-tenant",
        "public.colors",
    ),
    "CREATE SEQUENCE n; GRANT USAGE ON SEQUENCE n TO {app}": ("sequence", "public.n"),
    "ALTER TABLE tasks DROP CONSTRAINT {task_key}, ADD CONSTRAINT k FOREIGN KEY (project_id)"
    " REFERENCES projects": ("foreign-key-without-tenant", "k ON public.tasks"),
    "ALTER TABLE tasks DROP CONSTRAINT {task_key}, ADD CONSTRAINT k FOREIGN KEY ({column},"
    " project_id) REFERENCES projects ({column}, id) ON DELETE SET NULL": (
        "foreign-key-clears-tenant",
        "k ON public.tasks",
    ),
    "CREATE UNIQUE INDEX k ON tasks (title) WHERE false": (
        "unique-without-tenant",
        "k ON public.tasks",
    ),
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON tasks FOR EACH ROW"
    " EXECUTE FUNCTION f(); ALTER TABLE tasks DISABLE TRIGGER t": (
        "trigger-disabled",
        "t ON public.tasks",
    ),
    "ALTER DATABASE {database} SET search_path = other, public": (
        "role-settings",
        "search_path of DATABASE {database}",
    ),
    "ALTER TABLE tasks ALTER {column} DROP NOT NULL": (
        "row-without-tenant",
        "{column} ON public.tasks",
    ),
    "DROP INDEX tasks_project": ("foreign-key-without-index", "{task_key} ON public.tasks"),
    "CREATE VIEW v AS SELECT 1 AS one FROM tasks; GRANT SELECT ON v TO {app}": ("view", "public.v"),
    "GRANT SELECT ON tasks TO {app} WITH GRANT OPTION": ("grant-option", "public.tasks"),
    "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC": ("database-rights", "{database}"),
    "GRANT USAGE ON SCHEMA public TO PUBLIC": ("schema-usage", "public"),
    "GRANT CREATE ON SCHEMA public TO {app}": ("schema-create", "public"),
    # By a role that not every project has.
    "CREATE POLICY peek ON tasks FOR SELECT TO {auth} USING (true)": (
        "lookup-policy",
        "peek ON public.tasks",
    ),
    "CREATE POLICY peek ON {table} TO {auth} USING (true)": (
        "lookup-policy",
        "peek ON public.{table}",
    ),
    "GRANT SELECT ON tasks TO {console}": ("rights-outside-a-tenant", "public.tasks"),
    "CREATE POLICY open ON tasks TO {console} USING (true)": (
        "policy-roles",
        "open ON public.tasks",
    ),
}


def _names(open_shop: OpenShop) -> dict[str, Any]:
    tenancy = open_shop.shop.tenancy
    return {
        **vars(tenancy.roles),
        "table": tenancy.table,
        "column": tenancy.column,
        "database": open_shop.database.name,
        "task_key": f"tasks_{tenancy.column}_project_id_fkey",
    }


async def test_there_is_no_gap_and_each_mutation_is_one_with_its_remedy(
    open_shop: OpenShop,
) -> None:
    audit, names = open_shop.shop.audit, _names(open_shop)
    # To plan the audit takes longer than to ask it: this connection plans it once.
    connection = await asyncpg.connect(open_shop.database.url, max_cacheable_statement_size=0)
    try:
        assert await audit.gaps(connection) == []
        assert await audit.tenant_tables(connection) == sorted(
            f"public.{table._meta.tablename}" for table in open_shop.shop.tables
        )
        for mutation, (rule, found) in MUTATIONS.items():
            if any(names[role] is None and f"{{{role}}}" in mutation for role in names):
                continue
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            try:
                await connection.execute(mutation.format(**names))
                gaps = await audit.gaps(connection)
                assert (rule, found.format(**names)) in {(gap.rule, gap.object) for gap in gaps}
                await connection.execute("SET LOCAL search_path = public")
                for gap in gaps:
                    await connection.execute(gap.remedy.replace(" CONCURRENTLY", ""))
                assert await audit.gaps(connection) == [], mutation
            finally:
                await transaction.rollback()
    finally:
        await connection.close()


async def test_the_diagram_says_whose_the_rows_are(open_shop: OpenShop) -> None:
    tenancy = open_shop.shop.tenancy
    connection = await asyncpg.connect(open_shop.database.url)
    isolated = await open_shop.shop.audit.isolated_tables(connection)
    catalog = await read_catalog(connection)
    await connection.close()
    found = {each.name: each for each in entities(catalog, tenancy, isolated)}
    assert all(each.is_isolated for each in found.values())
    assert found[tenancy.table].tenant_column == "id"
    assert found["tasks"].tenant_column == found["projects"].tenant_column == tenancy.column
    frame = lay_out(tuple(found.values())).frame
    assert frame is not None
    assert frame.tenants == tenancy.table


@pytest.mark.parametrize("right", ["SELECT", "UPDATE"])
async def test_a_serial_columns_sequence_takes_usage_and_nothing_more(
    open_shop: OpenShop, right: str
) -> None:
    audit, app = open_shop.shop.audit, open_shop.shop.tenancy.roles.app
    connection = await asyncpg.connect(open_shop.database.url)
    try:
        sequence = await connection.fetchval("SELECT pg_get_serial_sequence('tasks', 'id')")
        if sequence is None:
            pytest.skip("Its keys are not numbered by the database.")
        await connection.execute(f"GRANT {right} ON SEQUENCE {sequence} TO {app}")
        [gap] = await audit.gaps(connection)
        assert (gap.rule, gap.object) == ("sequence", sequence)
        await connection.execute(gap.remedy)
        assert await audit.gaps(connection) == []
        assert await connection.fetchval(
            "SELECT has_sequence_privilege($1, $2, 'USAGE')", app, sequence
        )
    finally:
        await connection.close()
