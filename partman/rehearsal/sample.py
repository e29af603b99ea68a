"""Choose the rows of some tenants, so that every key still finds what it refers to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from partman.errors import SampleError
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.rehearsal.source import Source, SourceTable
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_FOREIGN_KEYS = """
SELECT conrelid AS table, confrelid AS referenced,
    (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.position)
     FROM unnest(conkey) WITH ORDINALITY AS k (number, position)
     JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.number) AS columns,
    (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.position)
     FROM unnest(confkey) WITH ORDINALITY AS k (number, position)
     JOIN pg_attribute a ON a.attrelid = confrelid AND a.attnum = k.number) AS key
FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid AND conparentid = 0
ORDER BY conrelid, conname
"""

# What names one tenant: its ID, or a unique column of text.
_NATURAL_KEYS = """
SELECT quote_ident(a.attname) FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = $1::oid AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL
    AND (a.attname = 'id' OR a.atttypid IN ('text'::regtype, 'varchar'::regtype))
ORDER BY a.attname <> 'id', a.attname
"""

_COUNT_PATIENCE = 1000
"""Milliseconds for the count of a table's rows; then the planner's number has to do."""


@dataclass(frozen=True)
class Sample:
    """Which rows are copied."""

    said: str | None = None
    """In words; None: all."""
    conditions: Mapping[int, str] = field(default_factory=dict)
    """SQL, by the OID of the table; the rows of other tables are all copied."""
    share: float = 1.0
    """Which part of the tenants they are of."""


@dataclass(frozen=True)
class _ForeignKey:
    referenced: int
    columns: tuple[str, ...]
    key: tuple[str, ...]


async def by_share(source: Source, tenancy: Tenancy | None, percent: float) -> Sample:
    """Choose so many percent of the tenants, always the same ones. Raises SampleError."""
    tenancy, tenants = _tenants(source, tenancy, "--sample")
    ids = await source.connection.fetch(
        f"SELECT id::text FROM {tenants.sql} ORDER BY hashtextextended(id::text, 0), id::text"
    )
    wanted = max(1, round(len(ids) * percent / 100))
    chosen = [row[0] for row in ids[:wanted]]
    said = f"{counted(len(chosen), 'row')} of {len(ids):,} of {tenants.name}"
    share = len(chosen) / len(ids) if ids else 1.0
    return await _of(source, tenancy, tenants, chosen, said, share)


async def by_name(source: Source, tenancy: Tenancy | None, name: str) -> Sample:
    """Choose one tenant, by its ID or by a unique column. Raises SampleError."""
    tenancy, tenants = _tenants(source, tenancy, "--organization")
    keys = [key for (key,) in await source.connection.fetch(_NATURAL_KEYS, tenants.oid)]
    condition = " OR ".join(f"{key}::text = $1" for key in keys)
    ids = await source.connection.fetch(
        f"SELECT id::text FROM {tenants.sql} WHERE {condition}", name
    )
    if len(ids) != 1:
        raise SampleError(
            f"{tenants.name} has {len(ids) or 'no'} row{'s' if ids else ''} with {name!r} as "
            f"{' or '.join(keys)}. Nothing was changed. Name one of them by its ID."
        )
    total = await source.connection.fetchval(f"SELECT count(*) FROM {tenants.sql}")
    said = f"{name}, 1 row of {total:,} of {tenants.name}"
    return await _of(source, tenancy, tenants, [ids[0][0]], said, 1 / total)


async def rows_of(connection: "Connection[Record]", table: SourceTable) -> int:
    """Return the number of all rows of a table: counted, or if that takes long, as estimated."""
    await connection.execute(
        f"SAVEPOINT partman_count; SET LOCAL statement_timeout = {_COUNT_PATIENCE}"
    )
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM ONLY {table.sql}")
    except asyncpg.QueryCanceledError:
        return max(0, table.rows)
    finally:
        # Puts the timeout back, too.
        await connection.execute("ROLLBACK TO SAVEPOINT partman_count")
    return found


def _tenants(source: Source, tenancy: Tenancy | None, option: str) -> tuple[Tenancy, SourceTable]:
    if tenancy is None:
        raise SampleError(
            f"{option} chooses by tenant, and the engine has no tenancy. Nothing was done. Copy "
            "all rows (leave the option out), or rehearse on a smaller database of your own: "
            "partman rehearse --on URL"
        )
    found = [table for table in source.tables if table.bare == tenancy.table]
    if not found:
        raise SampleError(
            f"{option} chooses by tenant, and {source.where} has no table {tenancy.table}. Nothing "
            "was changed. Leave the option out."
        )
    return tenancy, found[0]


async def _of(
    source: Source,
    tenancy: Tenancy,
    tenants: SourceTable,
    chosen: list[str],
    said: str,
    share: float,
) -> Sample:
    ids = ", ".join(f"{literal(each)}::{tenancy.key.value}" for each in chosen)
    among = f"IN ({ids})" if chosen else "IS NULL"
    conditions = {tenants.oid: f"id {among}"}
    for table in source.tables:
        if table.oid != tenants.oid and any(each.name == tenancy.column for each in table.columns):
            # A row without a tenant is everybody's.
            conditions[table.oid] = f"({tenancy.column} {among} OR {tenancy.column} IS NULL)"
    keys: dict[int, list[_ForeignKey]] = {}
    for row in await source.connection.fetch(_FOREIGN_KEYS):
        key = _ForeignKey(
            row["referenced"], tuple(row["columns"].split(",")), tuple(row["key"].split(","))
        )
        keys.setdefault(row["table"], []).append(key)
    by_oid = {table.oid: table for table in source.tables}
    return Sample(said, _Conditions(by_oid, keys, conditions, tenancy.column).all(), share)


class _Conditions:
    """The conditions of all tables: rows that refer to rows that are left out are left out, too."""

    def __init__(
        self,
        tables: Mapping[int, SourceTable],
        keys: Mapping[int, list[_ForeignKey]],
        of_tenants: Mapping[int, str],
        column: str,
    ) -> None:
        self._tables, self._keys, self._of_tenants = tables, keys, of_tenants
        self._column = column
        self._found: dict[int, str | None] = {}

    def all(self) -> dict[int, str]:
        found = {oid: self._of(oid) for oid in self._tables}
        return {oid: condition for oid, condition in found.items() if condition is not None}

    def _of(self, oid: int) -> str | None:
        if oid not in self._found:
            self._found[oid] = self._of_tenants.get(oid)  # for a circle of keys
            parts = [self._of_tenants[oid]] if oid in self._of_tenants else []
            parts += self._references(oid)
            self._found[oid] = " AND ".join(parts) or None
        return self._found[oid]

    def _references(self, oid: int) -> Iterator[str]:
        for key in self._keys.get(oid, []):
            if self._column in key.columns:  # the row that is referred to is the same tenant's
                continue
            condition = self._of(key.referenced)
            if condition is None:
                continue
            columns, referenced = ", ".join(key.columns), ", ".join(key.key)
            nulls = " OR ".join(f"{column} IS NULL" for column in key.columns)
            yield (
                f"({nulls} OR ({columns}) IN (SELECT {referenced}"
                f" FROM {self._tables[key.referenced].sql} WHERE {condition}))"
            )
