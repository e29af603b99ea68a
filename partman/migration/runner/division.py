"""How a table is divided for a backfill: the next portion after a position.

On a single server a portion is a range of the primary key. On a cluster it is a range within one
tenant, or several whole tenants of one shard, so that Citus sends it to that shard alone.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

from partman.grammar.names import literal, quoted
from partman.migration.runner.backfill import Backfill, KeyColumn, PrimaryKey

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Position = tuple[str, ...]
"""What is done, as texts: see the division."""

_DIVIDED_BY = """
SELECT pg_catalog.column_to_column_name(logicalrelid, partkey)
FROM pg_catalog.pg_dist_partition WHERE partmethod = 'h' AND logicalrelid = to_regclass($1)
"""

# A table whose key holds every tenant that the divided table may have, and that is read in full.
_TENANTS = """
SELECT k.confrelid::regclass::text AS table, quote_ident(a.attname) AS column
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_dist_partition p ON p.logicalrelid = k.confrelid
    AND p.partmethod = 'n' AND p.repmodel = 't'
JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = k.confkey[1]
WHERE k.conrelid = to_regclass($1) AND k.contype = 'f' AND k.convalidated
    AND pg_catalog.cardinality(k.conkey) = 1 AND NOT pg_catalog.row_security_active(k.confrelid)
    AND k.conkey[1] = (
        SELECT attnum FROM pg_catalog.pg_attribute WHERE attrelid = k.conrelid AND attname = $2
    )
ORDER BY k.oid LIMIT 1
"""

_PAGE = 10_000
"""How many tenants are read at once."""
_MOST_TENANTS = 1_000
"""How many tenants a portion has at most: its statement names each."""


@dataclass(frozen=True)
class Portion:
    """What one transaction of a backfill does."""

    update: str
    end: Position | None
    """What is done after it; None if that is everything."""
    rows: int | None
    """How many rows it passes over; None: as many as it changes."""


class Division(Protocol):
    """Divides a table."""

    async def next(self, after: Position | None, rows: int) -> Portion:
        """Return the portion of about so many rows after a position; None is the beginning."""


async def division(
    connection: "Connection[Record]", backfill: Backfill, *, is_distributed: bool
) -> Division:
    """Return how the table is divided. Raises MigrationFailedError if it cannot be."""
    key = await PrimaryKey.read(connection, backfill)
    if is_distributed and (column := await connection.fetchval(_DIVIDED_BY, key.table)):
        found = await connection.fetchrow(_TENANTS, key.table, column)
        tenants = f"SELECT DISTINCT {quoted(column)} AS tenant FROM {key.table}"
        if found is not None:
            tenants = f"SELECT {found['column']} AS tenant FROM {found['table']}"
        return ByTenant(connection, backfill, key, column, tenants)
    return ByKey(connection, backfill, key)


class ByKey:
    """By ranges of the primary key. A position is the key of the last row that is done."""

    def __init__(
        self, connection: "Connection[Record]", backfill: Backfill, key: PrimaryKey
    ) -> None:
        """Divide the table of a backfill."""
        self._connection, self._backfill, self._key = connection, backfill, key

    async def next(self, after: Position | None, rows: int) -> Portion:
        """As Division.next()."""
        row = await self._connection.fetchrow(self._key.end(rows, self._key.between(after, None)))
        end = None if row is None else tuple(map(str, row))
        update = self._backfill.portion(self._key.between(after, end))
        return Portion(update, end, None if end is None else rows)


class _Tenant(NamedTuple):
    name: str
    """Its key, as text."""
    shard: int


class _Page:
    """Tenants that follow each other."""

    def __init__(self, after: str | None, tenants: list[_Tenant]) -> None:
        """Of those after a tenant; None is the beginning."""
        self.tenants = tenants
        self._places = {each.name: place for place, each in enumerate(tenants, start=1)}
        self._places[after or ""] = 0

    def following(self, tenant: str | None) -> list[_Tenant]:
        """Return those after a tenant; none if they are not known."""
        place = self._places.get(tenant or "")
        return [] if place is None else self.tenants[place:]


class ByTenant:
    """By tenants, in the order of their hashes, of which each shard has a range.

    A position is the tenant that is done, or the tenant followed by the rest of the primary key of
    its last row that is done. Shards have no part in it: they may be moved and split meanwhile.
    """

    def __init__(
        self,
        connection: "Connection[Record]",
        backfill: Backfill,
        key: PrimaryKey,
        column: str,
        tenants: str,
    ) -> None:
        """Divide by ``column``; ``tenants`` is the query of all its values."""
        self._connection, self._backfill, self._tenants = connection, backfill, tenants
        self._column, self._table = quoted(column), key.table
        self._type = next(each.type for each in key.columns if each.name == column)
        rest: tuple[KeyColumn, ...] = tuple(each for each in key.columns if each.name != column)
        self._rest = PrimaryKey(key.table, rest)
        self._page = _Page(None, [])
        self._most = _MOST_TENANTS

    async def next(self, after: Position | None, rows: int) -> Portion:
        """As Division.next()."""
        if after is not None and len(after) > 1:
            return await self._within(after[0], after[1:], rows)
        while ahead := await self._following(after[0] if after else None):
            shard = ahead[0].shard
            batch = [*takewhile(lambda each: each.shard == shard, ahead[: self._most])]  # noqa: B023
            whole = f"{self._column} IN ({', '.join(self._value(each.name) for each in batch)})"
            found = await self._count([whole], rows + 1)
            if found <= rows:
                if found * 2 <= rows:
                    self._most = min(len(batch) * 2, _MOST_TENANTS)
                return await self._up_to(batch[-1].name, [whole], found)
            if len(batch) == 1:
                return await self._within(batch[0].name, None, rows)
            self._most = len(batch) // 2
        return Portion(self._backfill.portion(["false"]), None, 0)

    async def _within(self, tenant: str, after: Position | None, rows: int) -> Portion:
        """Return a portion of one tenant."""
        own = f"{self._column} = {self._value(tenant)}"
        left = [own, *self._rest.between(after, None)]
        row = await self._connection.fetchrow(self._rest.end(rows, left))
        if row is None:
            return await self._up_to(tenant, left, await self._count(left, rows))
        end = tuple(map(str, row))
        update = self._backfill.portion([own, *self._rest.between(after, end)])
        return Portion(update, (tenant, *end), rows)

    async def _up_to(self, tenant: str, conditions: list[str], rows: int) -> Portion:
        """Return the portion after which a tenant is done, and all before it."""
        follows = await self._following(tenant)
        return Portion(self._backfill.portion(conditions), (tenant,) if follows else None, rows)

    async def _count(self, conditions: list[str], most: int) -> int:
        found: int = await self._connection.fetchval(
            f"SELECT count(*) FROM (SELECT 1 FROM {self._table}"
            f" WHERE {' AND '.join(conditions)} LIMIT {most}) AS of"
        )
        return found

    def _value(self, tenant: str) -> str:
        return f"{literal(tenant)}::{self._type}"

    async def _following(self, tenant: str | None) -> list[_Tenant]:
        """Return tenants after one, at least one if there is one."""
        known = self._page.following(tenant)
        if not known:
            self._page = _Page(tenant, await self._read(tenant))
            known = self._page.tenants
        return known

    async def _read(self, tenant: str | None) -> list[_Tenant]:
        order = "pg_catalog.worker_hash(of.tenant), of.tenant"
        after = ""
        if tenant is not None:
            value = self._value(tenant)
            after = f" WHERE ({order}) > (pg_catalog.worker_hash({value}), {value})"
        shard = "pg_catalog.get_shard_id_for_distribution_column"
        rows = await self._connection.fetch(
            f"SELECT of.tenant::text AS name, {shard}({literal(self._table)}, of.tenant) AS shard"
            f" FROM ({self._tenants}) AS of{after} ORDER BY {order} LIMIT {_PAGE}"
        )
        return [_Tenant(row["name"], row["shard"]) for row in rows]
