"""Inside of tenant(), each query goes to the one shard that has the tenant's rows."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from benchmarks.load.clients import Load
from benchmarks.load.data import Afterwards, fill
from benchmarks.load.run import Way, run
from partman.bulk import bulk_insert
from partman.engine import PartmanEngine
from partman.operator import reports
from partman.settings import Settings
from partman.tables import TABLES, TENANCY, Opportunity, Organization, Partner, User
from partman.tenant import shard_count, tenant
from partman.tenant.connection import TenantConnection
from tests.distributed.cluster import Cluster, cluster
from tests.example import test_load
from tests.summary import Record, count
from tests.support import as_role, execute, fetch, migrate
from tests.support import run as run_command
from tests.tenants import in_use

REQUESTS = 120
_NOT_EXPLAINED = {"EXPLAIN", "CLOSE", "SAVEPOINT", "ROLLBACK"}


@pytest.fixture(scope="module")
def partners() -> dict[str, UUID]:
    """A partner of each organization, by its subdomain."""
    return {}


@pytest.fixture(scope="module")
def filled(partners: dict[str, UUID]) -> Iterator[Cluster]:
    """A distributed database with the rows of the load test."""
    with cluster() as made:
        migrate(made.database)
        partners |= asyncio.run(fill(made.database.url, 6))
        ended = run_command("partman", "distribute", environment=made.database.environment)
        assert ended.code == 0, ended.output
        execute(made.database.url, "ALTER ROLE partman_api LOGIN")  # as a deployment does
        yield made


def application(database: Cluster) -> str:
    return as_role(database.database.url, "partman_api")


@pytest.fixture
async def engine(filled: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = Settings.load({"DATABASE_URL": application(filled), "PARTMAN_ENV": "test"})
    made = PartmanEngine(settings=settings, tenancy=TENANCY)
    async with in_use(made, monkeypatch, pool=True):
        yield made


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The statements that blocks send, with the number of shards that they go to."""
    found: dict[str, int] = {}
    send = TenantConnection.fetch

    async def fetch(self: TenantConnection, sql: str, *arguments: Any, **options: Any) -> Any:
        if sql.split()[0] not in _NOT_EXPLAINED and sql not in found:
            found[sql] = await shard_count(sql, *arguments)
        return await send(self, sql, *arguments, **options)

    monkeypatch.setattr(TenantConnection, "fetch", fetch)
    return found


async def test_all_queries_of_the_example_do(
    filled: Cluster,
    partners: dict[str, UUID],
    counted: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    monkeypatch.setenv("PARTMAN_SECRET", "a secret of the tests, with 32 characters")
    left = iter(range(REQUESTS))
    load = Load(12, 0, goes_on=lambda: next(left, None) is not None)
    way = Way(application(filled), "none", 4)
    outcome, afterwards = await run(filled.database.url, way, partners, load)
    assert (outcome.errors, outcome.foreign) == ({}, [])
    assert afterwards == Afterwards(foreign=0, lost=0)
    assert len(counted) > 8
    assert {sql: shards for sql, shards in counted.items() if shards != 1} == {}
    count(record_property, transactions=outcome.answered, cells=len(counted))


@pytest.mark.parametrize("cancelled", [0, 0.2])
async def test_many_clients_see_no_error_and_no_row_of_another(
    filled: Cluster,
    partners: dict[str, UUID],
    cancelled: float,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """As on a single server, with the clients of tests/example."""
    monkeypatch.setenv("PARTMAN_SECRET", "a secret of the tests, with 32 characters")
    left = iter(range(test_load.REQUESTS))
    load = Load(test_load.CLIENTS, cancelled, goes_on=lambda: next(left, None) is not None)
    way = Way(application(filled), "none", 5)
    outcome, afterwards = await run(filled.database.url, way, partners, load)
    assert (outcome.errors, outcome.foreign) == ({}, [])
    assert afterwards == Afterwards(foreign=0, lost=0)
    assert bool(outcome.cancelled) == bool(cancelled)
    count(record_property, transactions=outcome.answered, leaks=len(outcome.foreign))


async def test_all_kinds_of_queries_do(
    filled: Cluster, engine: PartmanEngine, counted: dict[str, int], record_property: Record
) -> None:
    own = await a_tenant(filled)
    for _ in range(7):  # from the sixth time on, PostgreSQL may plan for all arguments at once
        async with tenant(own) as transaction:
            assert engine.is_distributed
            for table in TABLES:
                if table is not Organization and "Console" not in table.__name__:
                    await ask(table)
            await ask_by_reference()
            await change_rows(own)
            savepoint: Any = await transaction.savepoint()
            await Opportunity.delete(force=True)
            await savepoint.rollback_to()
    assert {sql: shards for sql, shards in counted.items() if shards != 1} == {}
    count(record_property, cells=len(counted))


async def a_tenant(filled: Cluster) -> UUID:
    """Return an organization that has opportunities."""
    [row] = await fetch(
        filled.database.url, "SELECT organization_id AS id FROM opportunities LIMIT 1"
    )
    found: UUID = row["id"]
    return found


async def ask(table: Any) -> None:
    key = table._meta.primary_key
    rows = await table.select()
    assert await table.count() == len(rows) == len(await table.objects())
    assert await table.exists() == bool(rows)
    assert len(await table.objects().where(key.is_not_null()).lock_rows("UPDATE")) == len(rows)
    batches = await table.select(key).order_by(key).batch(batch_size=2)
    async with batches:
        assert [row["id"] async for some in batches for row in some] == sorted(
            row["id"] for row in rows
        )


async def ask_by_reference() -> None:
    deal: Any = await Opportunity.objects(Opportunity.partner).first()
    assert isinstance(deal.partner, Partner)
    related: Any = await deal.get_related(Opportunity.partner)
    assert related.id == deal.partner.id
    await deal.refresh()
    by_partner = Opportunity.partner._.name == deal.partner.name
    assert await Opportunity.count().where(by_partner)
    assert await Opportunity.exists().where(by_partner)
    assert (
        await Opportunity.select(
            Opportunity.partner._.name, Opportunity.partner._.organization._.name
        )
        .where(by_partner)
        .order_by(Opportunity.partner._.name)
    )
    some = Partner.select(Partner.id).where(Partner.name == deal.partner.name)
    assert await Opportunity.count().where(Opportunity.partner.is_in(some))
    await Opportunity.update({Opportunity.notes: "by reference"}).where(by_partner)


async def change_rows(own: UUID) -> None:
    user = User(
        organization=own,
        email="new@example.com",
        password_hash="",
        first_name="N",
        last_name="N",
        role="viewer",
    )
    await user.save()
    user.first_name = "M"
    await user.save()
    await user.update_self({User.last_name: "O"})
    assert (await User.select(User.last_name).where(User.id == user.id))[0]["last_name"] == "O"
    await user.remove()


async def test_bulk_insert_does_and_each_tenant_is_reached(
    filled: Cluster, engine: PartmanEngine, partners: dict[str, UUID]
) -> None:
    rows = await fetch(filled.database.url, "SELECT DISTINCT organization_id AS id FROM partners")
    for row in rows:
        async with tenant(row["id"]):
            before = await Partner.count()
            values = {"name": "bulk", "domain": "example.com", "commission_structure": {}}
            assert await bulk_insert(Partner, [values] * 500) == 500
            assert await Partner.count() == before + 500
    assert len(rows) >= len(partners)


async def test_raw_sql_without_the_tenant_goes_to_all_shards_and_shows_no_more(
    filled: Cluster, engine: PartmanEngine
) -> None:
    own = await a_tenant(filled)
    async with tenant(own):
        everything = "SELECT id FROM partners"
        assert await shard_count(everything) > 1
        assert len(await Partner.raw(everything)) == await Partner.count()


async def test_what_names_no_tenant_does_not_keep_the_next_from_the_tenants_table(
    filled: Cluster, engine: PartmanEngine
) -> None:
    """Citus refuses that where it has asked the shards at the same time."""
    async with tenant(await a_tenant(filled)):
        changed = await Partner.raw("UPDATE partners SET name = name RETURNING id")
        assert len(changed) == await Partner.count()
        await Organization.raw("UPDATE organizations SET name = name")


async def test_reports_show_all_tenants(filled: Cluster, engine: PartmanEngine) -> None:
    """Both views, with the numbers of the tables themselves."""
    async with reports() as connection:
        pipeline = await connection.fetch("SELECT * FROM report_pipeline")
        organizations = await connection.fetch("SELECT * FROM report_organizations")
        counts = {
            table: await connection.fetch(
                f"SELECT o.subdomain, count(t.organization_id) AS n FROM organizations o"
                f" LEFT JOIN {table} t ON t.organization_id = o.id GROUP BY o.subdomain"
            )
            for table in ("users", "partners", "opportunities")
        }
    for table, rows in counts.items():
        [row] = await fetch(filled.database.url, f"SELECT count(*) AS n FROM {table}")
        assert sum(each["n"] for each in rows) == row["n"] > 0
    assert sum(row["opportunities"] for row in pipeline) == sum(
        row["n"] for row in counts["opportunities"]
    )
    for table, rows in counts.items():
        own = {each["subdomain"]: each["n"] for each in rows}
        assert {each["subdomain"]: each[table] for each in organizations} == own


async def test_a_report_sees_each_node_at_one_moment(
    filled: Cluster, engine: PartmanEngine
) -> None:
    number = "SELECT count(*) FROM partners"
    late = (
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT id, 'late', 'late.example', '{}' FROM organizations"
    )
    async with reports() as connection:
        sessions = "citus.max_adaptive_executor_pool_size"
        assert await connection.fetchval(f"SHOW {sessions}") == "1"
        before = await connection.fetchval(number)
        await fetch(filled.database.url, late)
        assert await connection.fetchval(number) == before
    async with reports() as connection:
        assert await connection.fetchval(number) > before
