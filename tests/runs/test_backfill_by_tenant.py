"""On a cluster, a portion of a backfill goes to one shard. Citus's functions are stand-ins here."""

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from partman.migration.runner.backfill import Backfill, Pace
from partman.migration.runner.division import ByKey, Division, Portion, division
from tests.catalog import Connection
from tests.summary import Record, count
from tests.support import as_role, temporary_database

pytestmark = [pytest.mark.same_on_every_version, pytest.mark.asyncio(loop_scope="module")]

SHARDS = 4
# As in Citus, each shard has a range of hashes.
CITUS = f"""
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition
    (logicalrelid regclass, partmethod char, repmodel char, partkey text);
CREATE FUNCTION pg_catalog.column_to_column_name(regclass, text) RETURNS text
    LANGUAGE sql RETURN $2;
CREATE FUNCTION pg_catalog.worker_hash(tenant anyelement) RETURNS int
    IMMUTABLE LANGUAGE sql AS 'SELECT hashtext(tenant::text)';
CREATE FUNCTION pg_catalog.get_shard_id_for_distribution_column(regclass, tenant anyelement)
    RETURNS bigint IMMUTABLE LANGUAGE sql
    AS 'SELECT (hashtext(tenant::text) + 2147483648) * {SHARDS} / 4294967296';
"""
SIZES = [90, *[number % 4 for number in range(60)], 30, 0, 55]
"""How many rows each tenant has."""
KEYS = {"uuid": "md5(number::text)::uuid", "integer": "number - 50", "bigint": "number * 2^40"}
TABLES = {
    "of references": "tenant uuid REFERENCES tenants_uuid, id int, PRIMARY KEY (tenant, id)",
    "of integers": "tenant integer REFERENCES tenants_integer, id int, PRIMARY KEY (tenant, id)",
    "of bigints": "tenant bigint REFERENCES tenants_bigint, id int, PRIMARY KEY (tenant, id)",
    "without a reference": "tenant uuid, id int, PRIMARY KEY (tenant, id)",
    "not validated": "tenant uuid, id int, PRIMARY KEY (tenant, id)",
    "Odd names": 'tenant uuid REFERENCES tenants_uuid, id int, "B c" date DEFAULT current_date,'
    ' PRIMARY KEY (id, tenant, "B c")',
    "with a row each": "tenant uuid REFERENCES tenants_uuid PRIMARY KEY, id int",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection() -> AsyncIterator[Connection]:
    with temporary_database() as database:
        connected = await asyncpg.connect(as_role(database.url, "postgres"))
        try:
            await _fill(connected)
            yield connected
        finally:
            await connected.close()


async def _fill(connected: Connection) -> None:
    await connected.execute(CITUS)
    for kind, key in KEYS.items():
        await connected.execute(f"CREATE TABLE tenants_{kind} (id {kind} PRIMARY KEY, size int)")
        await connected.executemany(
            f"INSERT INTO tenants_{kind}"
            f" SELECT {key}, $2::int FROM (SELECT $1::int AS number) AS of",
            list(enumerate(SIZES)),
        )
        await _distributed(connected, f"tenants_{kind}", "n")
    for name, columns in TABLES.items():
        kind = columns.split()[1].removesuffix(",")
        await connected.execute(
            f'CREATE TABLE "{name}" ({columns}, n int DEFAULT 0);'
            f' INSERT INTO "{name}" (tenant, id) SELECT t.id, i FROM tenants_{kind} AS t,'
            f" generate_series(1, {'least(1, size)' if 'row each' in name else 'size'}) i;"
            f' ANALYZE "{name}"'
        )
        await _distributed(connected, f'"{name}"', "h")
    await connected.execute(
        'ALTER TABLE "not validated" ADD FOREIGN KEY (tenant) REFERENCES tenants_uuid NOT VALID'
    )


async def _distributed(connected: Connection, table: str, method: str) -> None:
    await connected.execute(
        "INSERT INTO pg_catalog.pg_dist_partition"
        f" VALUES ('{table}', '{method}', '{'t' if method == 'n' else 's'}', 'tenant')"
    )


class Backfilling:
    """A backfill that is stopped and resumed at random."""

    def __init__(self, connected: Connection, table: str, rows: int) -> None:
        self._connection, self._most = connected, rows
        self._dice = random.Random(f"{table} {rows}")  # noqa: S311
        self._backfill = Backfill(f'"{table}"', "n = n + 1", "n < 9 -- all", Pace())
        self.portions = self.queries = 0

    async def to_the_end(self) -> None:
        self._connection.add_query_logger(self._count)
        divided, position = await self._begin(), None
        while (portion := await divided.next(position, self._most)).end or portion.rows:
            if self._dice.random() < 0.2:  # it waited for a lock before it was committed
                portion = await divided.next(position, self._dice.randint(1, self._most))
            await self._commit(portion)
            if (position := portion.end) is None:
                break
            if self._dice.random() < 0.2:
                divided = await self._begin()
        self._connection.remove_query_logger(self._count)

    def _count(self, _: object) -> None:
        self.queries += 1

    async def _begin(self) -> Division:
        return await division(self._connection, self._backfill, is_distributed=True)

    async def _commit(self, portion: Portion) -> None:
        shard = "pg_catalog.get_shard_id_for_distribution_column(NULL, tenant)"
        changed = await self._connection.fetch(f"{portion.update} RETURNING {shard}")
        assert len({row[0] for row in changed}) <= 1, portion
        assert portion.rows == len(changed) <= self._most, portion
        self.portions += 1


@pytest.mark.parametrize("table", TABLES)
async def test_each_row_is_changed_once(
    connection: Connection, table: str, record_property: Record
) -> None:
    rows = await connection.fetchval(f'SELECT count(*) FROM "{table}"')
    for times, most in enumerate((3, 20, 1000), start=1):
        backfilling = Backfilling(connection, table, most)
        await backfilling.to_the_end()
        changed = await connection.fetch(f'SELECT n, count(*) FROM "{table}" GROUP BY n')
        assert [tuple(row) for row in changed] == [(times, rows)]
        # Not so many for each tenant, however few rows it has.
        assert backfilling.portions <= 3 * rows / most + SHARDS
        assert backfilling.queries <= 5 * backfilling.portions + 4
        count(record_property, cells=backfilling.portions)


async def test_an_organization_may_be_deleted_meanwhile(connection: Connection) -> None:
    backfill = Backfill("gone", "n = 1", None, Pace())
    await connection.execute(
        "CREATE TABLE gone (tenant uuid, id int, n int DEFAULT 0, PRIMARY KEY (tenant, id));"
        " INSERT INTO gone SELECT md5(t::text)::uuid, i FROM generate_series(1, 9) t,"
        " generate_series(1, 9) i"
    )
    await _distributed(connection, "gone", "h")
    divided = await division(connection, backfill, is_distributed=True)
    portion = await divided.next(None, 4)
    assert portion.end is not None
    while portion.end is not None:
        await connection.execute(portion.update)
        await connection.execute("DELETE FROM gone WHERE tenant::text = $1", portion.end[0])
        divided = await division(connection, backfill, is_distributed=True)
        portion = await divided.next(portion.end, 4)
    await connection.execute(portion.update)
    assert await connection.fetchval("SELECT count(*) FROM gone WHERE n = 0") == 0


@pytest.mark.parametrize(
    ("table", "is_distributed", "where"),
    [("tenants_integer", True, "(id) <= ('-49'::integer)"),
     ('"of integers"', False, "(tenant, id) <= ('-50'::integer, '2'::integer)")],
)  # fmt: skip
async def test_other_tables_and_single_servers_are_divided_by_key(
    connection: Connection, table: str, is_distributed: bool, where: str
) -> None:
    column = "size" if is_distributed else "n"
    backfill = Backfill(table, f"{column} = 1", "true -- all", Pace())
    divided = await division(connection, backfill, is_distributed=is_distributed)
    assert isinstance(divided, ByKey)
    portion = await divided.next(None, 2)
    assert portion.update == f"UPDATE {table}\nSET {column} = 1\n WHERE {where} AND (true -- all\n)"
    assert await connection.execute(portion.update) == "UPDATE 2"
