"""tenant(): what is reached in it, what it joins, and where it is refused."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from piccolo.engine.postgres import AsyncBatch, PostgresEngine

import piccolo_conf
from partman.engine import PartmanEngine
from partman.errors import (
    ExitCode,
    InvalidTenantIdError,
    NoTenancyError,
    TenancyError,
    TenantLeavingError,
    TenantNestingError,
    TenantRolledBackError,
    WrongEngineError,
)
from partman.settings import Settings
from partman.tables import TENANCY, Organization, Partner, organization_for_subdomain
from partman.tenant import current_tenant, tenant
from partman.tenant.transaction import TenantBatch
from tests.project import Project
from tests.tenants import DEADLINE, Tenants

FIRST, SECOND = "partner of the first", "partner of the second"
CURSORS = "SELECT name FROM pg_cursors WHERE name <> ''"


async def names() -> list[str]:
    """Those of the partners that can be reached."""
    return await Partner.select(Partner.name).order_by(Partner.name).output(as_list=True)


def partner(organization: UUID, name: str) -> Partner:
    return Partner(
        organization=organization, name=name, domain="example.com", commission_structure={}
    )


class TestReaches:
    async def test_the_rows_of_its_organization_and_no_others(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        for organization, theirs in ((tenants.first, FIRST), (tenants.second, SECOND)):
            async with tenant(organization):
                assert await names() == [theirs]
                assert await Partner.count() == 1
                assert await Organization.select(Organization.id) == [{"id": organization}]

    async def test_them_by_raw_sql(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first):
            assert await Partner.raw("SELECT name FROM partners") == [{"name": FIRST}]
            others = await Partner.raw(
                "UPDATE partners SET name = 'mine' WHERE organization_id = {} RETURNING id",
                tenants.second,
            )
        assert others == []
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_only_them_with_what_it_writes(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            await Partner.insert(partner(tenants.first, "new"))
            await Partner.update({Partner.name: "changed"}, force=True).where(Partner.name == FIRST)
            await Partner.delete(force=True).where(Partner.name == SECOND)
        assert await tenants.partners() == ["changed", "new", SECOND]

        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with tenant(tenants.first):
                await Partner.insert(partner(tenants.second, "not mine"))

    async def test_nothing_when_it_was_forgotten(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            pass
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await names()

    async def test_nothing_of_an_organization_that_does_not_exist(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(uuid4()):
            assert await names() == []


class TestBatch:
    async def test_is_of_the_tenant_and_sees_what_the_block_wrote(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first) as transaction:
            await Partner.insert(*(partner(tenants.first, f"new {n}") for n in range(4)))
            query = Partner.select(Partner.name).where(Partner.name.not_in(["new 3"]))
            batch = await query.order_by(Partner.name).batch(batch_size=3)
            async with batch as portions:
                found = [[row["name"] for row in rows] async for rows in portions]
            assert len(await names()) == 5  # the connection is still there, and still the tenant's
            assert await transaction.connection.fetch(CURSORS) == []
        assert found == [["new 0", "new 1", "new 2"], [FIRST]]

    async def test_can_be_had_of_objects_and_of_several_at_once(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            partners = await Partner.objects().batch(batch_size=1)
            organizations = await Organization.select(Organization.subdomain).batch(batch_size=1)
            async with partners as some, organizations as others:
                found: list[Any] = [*await anext(some), *await anext(others)]
        assert found[0].name == FIRST
        assert found[1] == {"subdomain": "first"}

    async def test_of_other_columns_is_never_read_with_those_of_one_before(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        of_text = Partner.select(Partner.name)
        of_numbers = Partner.select(Partner.relationship_health)
        for query, rows in (
            (of_text, [{"name": FIRST}]),
            (of_numbers, [{"relationship_health": 50}]),
        ):
            async with tenant(tenants.first), await query.batch() as portions:
                assert await anext(portions) == rows

    async def test_lets_an_error_through_and_leaves_the_block_usable(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first) as transaction:
            with pytest.raises(ZeroDivisionError):
                async with await Partner.select().batch():
                    raise ZeroDivisionError
            assert await names() == [FIRST]
            assert await transaction.connection.fetch(CURSORS) == []

    async def test_lets_an_error_of_the_server_through(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with tenant(tenants.first), await Partner.select().batch():
                await Partner.raw("SELECT 1 / 0")

    async def test_outside_is_piccolos(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first):
            assert isinstance(await Partner.select().batch(), TenantBatch)
        owner = tenants.engine(tenants.database.url)
        outside = await owner.batch(Partner.select(Partner.name).order_by(Partner.name))
        assert type(outside) is AsyncBatch
        async with outside as portions:
            assert [rows async for rows in portions] == [[{"name": FIRST}, {"name": SECOND}]]


class TestTransaction:
    async def test_commits_when_the_block_ends(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            await Partner.insert(partner(tenants.first, "new"))
            assert await tenants.partners() == [FIRST, SECOND]
        assert await tenants.partners() == ["new", FIRST, SECOND]

    async def test_is_undone_by_an_exception(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def block() -> None:
            async with tenant(tenants.first):
                await Partner.insert(partner(tenants.first, "new"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await block()
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_is_joined_by_piccolos(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def block() -> None:
            async with tenant(tenants.first):
                async with engine.transaction():
                    await Partner.insert(partner(tenants.first, "by a transaction"))
                atomic = engine.atomic()
                atomic.add(Partner.insert(partner(tenants.first, "by an atomic")))
                await atomic
                assert len(await names()) == 3
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await block()
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_has_savepoints(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first) as transaction:
            savepoint = await transaction.savepoint()
            with pytest.raises(asyncpg.DivisionByZeroError):
                await Partner.raw("SELECT 1 / 0")
            await savepoint.rollback_to()  # type: ignore[no-untyped-call]
            await Partner.insert(partner(tenants.first, "kept"))
            await transaction.savepoint("mine")
            await Partner.insert(partner(tenants.first, "undone"))
            await transaction.rollback_to("mine")
            assert await names() == ["kept", FIRST]
        assert await tenants.partners() == ["kept", FIRST, SECOND]

    async def test_that_went_on_after_an_error_of_the_server_is_an_error(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def block() -> None:
            async with tenant(tenants.first):
                await Partner.insert(partner(tenants.first, "new"))
                with suppress(asyncpg.DivisionByZeroError):
                    await Partner.raw("SELECT 1 / 0")

        with pytest.raises(TenantRolledBackError, match=r"nothing of the block.*savepoint"):
            await block()
        assert await tenants.partners() == [FIRST, SECOND]
        async with tenant(tenants.second):
            assert await names() == [SECOND]

    @pytest.mark.parametrize("call", ["commit", "rollback"])
    async def test_ends_with_the_block_and_by_no_call(
        self, tenants: Tenants, engine: PartmanEngine, call: str
    ) -> None:
        async with tenant(tenants.first) as transaction:
            await Partner.insert(partner(tenants.first, "new"))
            with pytest.raises(TenantLeavingError, match=r"Nothing was sent.*savepoint"):
                await getattr(transaction, call)()
            async with engine.transaction() as joined:
                with pytest.raises(TenantLeavingError):
                    await getattr(joined, call)()
            assert await names() == ["new", FIRST]
        assert await tenants.partners() == ["new", FIRST, SECOND]


class TestNesting:
    async def test_joins_a_block_of_the_same_organization(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def block() -> None:
            async with tenant(tenants.first) as outer:
                async with tenant(str(tenants.first).upper()) as inner:
                    await Partner.insert(partner(tenants.first, "new"))
                assert inner is outer
                assert await names() == ["new", FIRST]
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await block()
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_in_a_block_of_another_organization_is_refused(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            with pytest.raises(TenantNestingError, match="leave the first") as refused:
                async with tenant(tenants.second):
                    await names()
            assert str(tenants.first) in str(refused.value)
            assert await names() == [FIRST]

    async def test_in_a_plain_transaction_is_refused(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with engine.transaction():
            with pytest.raises(TenantNestingError, match="take it in place of the other one"):
                async with asyncio.timeout(DEADLINE), tenant(tenants.first):
                    await names()
            assert await Partner.raw("SELECT current_user AS role") == [{"role": tenants.role}]

    async def test_of_one_block_in_itself_is_refused(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        block = tenant(tenants.first)
        async with block:
            with pytest.raises(TenantNestingError, match="Call tenant"):
                async with block:
                    await names()
            assert await names() == [FIRST]

    def test_in_a_migration_is_refused(self, project: Project) -> None:
        conf = project.folder / "extra_conf.py"
        text = "from partman.isolation import Tenancy" + conf.read_text()
        conf.write_text(text.replace("PartmanEngine()", "PartmanEngine(tenancy=Tenancy())"))
        project.write(
            "2026-01",
            ["CREATE TABLE made (n int)"],
            more="""
            from uuid import uuid4
            from partman.tenant import current_tenant, tenant
            async def in_a_block():
                async with tenant(uuid4()):
                    pass
            manager.add_raw(in_a_block)
            """,
        )
        refused = project.forwards()
        assert refused.code == ExitCode.NO, refused.output
        assert "tenant() cannot be used in a migration" in refused.stderr


class TestOrganizationId:
    async def test_may_be_of_the_drivers_kind(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async with tenant(tenants.first):
            [row] = await Organization.raw("SELECT id FROM organizations")
        assert type(row["id"]) is not UUID
        async with tenant(row["id"]):
            assert await names() == [FIRST]

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "first",
            None,
            1,
            b"123e4567-e89b-12d3-a456-426614174000",
            "123e4567e89b12d3a456426614174000",
            "{123e4567-e89b-12d3-a456-426614174000}",
            "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
            " 123e4567-e89b-12d3-a456-426614174000",
            "123e4567-e89b-12d3-a456-426614174000\n",
            "123e4567-e89b-12d3-a456-42661417400",
            "123e4567-e89b-12d3-a456-42661417400g",
            "१२३e4567-e89b-12d3-a456-426614174000",
            "123e4567-e89b-12d3-a456-426614174000'; RESET ROLE; --",
        ],
    )
    def test_an_invalid_id_is_refused_before_any_query(self, value: object) -> None:
        with pytest.raises(InvalidTenantIdError, match="Nothing was run"):
            tenant(value)  # type: ignore[arg-type]

    async def test_is_printed_by_nobody_else(self, tenants: Tenants, engine: PartmanEngine) -> None:
        class Injected(UUID):
            def __str__(self) -> str:
                return f"{tenants.second}'; RESET ROLE; --"

        async with tenant(Injected(int=tenants.first.int)):
            assert await names() == [FIRST]


class TestOrganizationForSubdomain:
    async def test_finds_an_active_one(self, tenants: Tenants, engine: PartmanEngine) -> None:
        assert await organization_for_subdomain("first") == tenants.first
        assert await organization_for_subdomain("nobody's") is None
        await tenants.as_owner("UPDATE organizations SET is_active = false WHERE name = 'second'")
        assert await organization_for_subdomain("second") is None

    async def test_works_for_the_owner(self, tenants: Tenants) -> None:
        owner = tenants.engine(tenants.database.url)
        assert await organization_for_subdomain("second", engine=owner) == tenants.second

    async def test_in_a_block_is_refused(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async with tenant(tenants.first):
            with pytest.raises(TenantNestingError, match="Ask before you enter"):
                await organization_for_subdomain("second")
            assert await names() == [FIRST]

    async def test_in_a_task_that_outlived_a_block_is_answered(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        ended = asyncio.Event()

        async def outlive() -> UUID | None:
            await ended.wait()
            return await organization_for_subdomain("second")

        async with tenant(tenants.first):
            task = asyncio.create_task(outlive())
        ended.set()
        assert await task == tenants.second


async def test_another_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgresEngine, "check_version", PartmanEngine.check_version)
    monkeypatch.setattr(piccolo_conf, "DB", PostgresEngine({}))
    with pytest.raises(WrongEngineError, match="DB = PartmanEngine"):
        tenant(uuid4())


async def test_without_a_tenancy_the_error_says_how_to_declare_one() -> None:
    engine = PartmanEngine(settings=Settings.load({"DATABASE_URL": "postgresql://nowhere"}))
    with pytest.raises(NoTenancyError, match=r"Nothing was run\. Declare one in piccolo_conf\.py"):
        tenant(uuid4(), engine=engine)


def test_there_is_no_current_tenant_outside_of_a_block(tenants: Tenants) -> None:
    with pytest.raises(TenancyError, match=r"outside of tenant\(\)\. Nothing was run"):
        current_tenant(engine=tenants.engine())


async def test_an_engine_can_be_given(tenants: Tenants) -> None:
    engine = PartmanEngine(settings=Settings.load({"DATABASE_URL": tenants.url}), tenancy=TENANCY)
    async with tenant(tenants.first, engine=engine) as transaction:
        assert current_tenant(engine=engine) == transaction.tenant_id == tenants.first
        assert await transaction.connection.fetchval("SELECT name FROM partners") == FIRST
