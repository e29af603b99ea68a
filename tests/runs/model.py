"""What migrations make of a database, found out without partman: their SQL, sent one by one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.read import read_catalog
from partman.database import bookkeeping
from tests.catalog import reader, written
from tests.runs.drawn import Migration, Mode, Part

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TABLES = f"""
    SELECT c.oid, c.oid::regclass::text AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname IN ('public', 'elsewhere')
        AND c.relname NOT IN ({", ".join(f"'{name}'" for name in bookkeeping.TABLES)})
    ORDER BY name
"""
_COLUMNS = """
    SELECT attnum, quote_ident(attname) AS name, atttypid::text AS type FROM pg_attribute
    WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
"""
_INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@dataclass(frozen=True)
class Contents:
    """Everything in a database that migrations can make."""

    catalog: frozenset[str]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """The rows of each table, as text."""
    invalid: int
    """How many indexes are invalid."""

    def __repr__(self) -> str:
        return f"{len(self.catalog)} objects, {self.invalid} invalid indexes, {dict(self.rows)}"


class End(Enum):
    """How a migration ends."""

    DONE = 0
    FAILED = 7
    LOST = 11
    """It would lose data."""
    REFUSED = 1
    """A block of it commits by itself, where no data may be lost."""


@dataclass(frozen=True)
class Course:
    """What a database contains before a migration, and after each of its commits."""

    boundaries: tuple[Contents, ...]
    end: End


def course_of(url: str, migrations: Sequence[Migration], *, is_production: bool) -> list[Course]:
    """Run migrations until one fails."""

    async def run() -> list[Course]:
        courses: list[Course] = []
        async with reader(url) as observer:
            for migration in migrations:
                courses.append(await _run(url, observer, migration, is_production=is_production))
                if courses[-1].end is not End.DONE:
                    break
        return courses

    return asyncio.run(run())


async def read(connection: "Connection[Record]") -> Contents:
    """Read what is in the database of a connection."""
    catalog = written(await read_catalog(connection))
    rows = []
    for table in await connection.fetch(_TABLES):
        found = await connection.fetch(f"SELECT t::text FROM {table['name']} AS t ORDER BY 1")
        rows.append((table["name"], tuple(row[0] for row in found)))
    return Contents(catalog, tuple(rows), await connection.fetchval(_INVALID))


class _FailedError(Exception):
    def __init__(self, end: End) -> None:
        super().__init__(end.name)
        self.end = end


async def _run(
    url: str, observer: "Connection[Record]", migration: Migration, *, is_production: bool
) -> Course:
    async with _connected(url) as session:
        boundaries = [await read(observer)]
        portions = (
            [migration.parts]
            if migration.mode is Mode.AT_ONCE
            else [(part,) for part in migration.parts]
        )
        for portion in portions:
            try:
                await _commit(session, portion, migration.mode, is_production=is_production)
            except _FailedError as failed:
                return Course(tuple(boundaries), failed.end)
            except asyncpg.PostgresError:
                return Course(tuple(boundaries), End.FAILED)
            boundaries.append(await read(observer))
    return Course(tuple(boundaries), End.DONE)


async def _commit(
    session: "Connection[Record]", parts: Sequence[Part], mode: Mode, *, is_production: bool
) -> None:
    """Run parts in one transaction, as far as they can run in one."""
    is_alone = mode is not Mode.AT_ONCE
    if is_alone and parts[0].outside:
        await session.execute(parts[0].sql)
    elif is_alone and parts[0].commits_itself:
        if is_production:
            await _refuse(session, parts[0])
        await session.execute(parts[0].sql)
    else:
        await session.execute("BEGIN")
        try:
            before = await _values(session)
            altered = [await _send(session, part) for part in parts]
            if is_production:
                _refuse_losses(before, await _values(session), is_altered=any(altered))
            await session.execute("COMMIT")
        except BaseException:
            await session.execute("ROLLBACK")
            raise
    if mode is Mode.ONLINE:
        await session.execute("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL")


async def _refuse(session: "Connection[Record]", part: Part) -> None:
    """Raise what the block raises in a transaction; if that is its commit, it is refused."""
    await session.execute("BEGIN")
    try:
        await session.execute(part.sql)
    except asyncpg.InvalidTransactionTerminationError as error:
        raise _FailedError(End.REFUSED) from error
    finally:
        await session.execute("ROLLBACK")


async def _send(session: "Connection[Record]", part: Part) -> bool:
    """Run a part; return whether it altered values."""
    if part.raises or part.ends_transaction:
        raise _FailedError(End.FAILED)
    retypes = "ALTER COLUMN" in part.sql and " TYPE " in part.sql
    before = await _values(session) if retypes else {}
    await session.execute(part.sql)
    return retypes and _is_altered(before, await _values(session))


_Values = dict[int, tuple[int, dict[int, tuple[str, tuple[str, ...]]]]]
"""By table: the number of rows, and by column the type and the values, as text."""


async def _values(session: "Connection[Record]") -> _Values:
    found: _Values = {}
    for table in await session.fetch(_TABLES):
        columns = {}
        # The search_path may be the migration's: regclass has written the schema if needed.
        for column in await session.fetch(_COLUMNS, table["oid"]):
            values = await session.fetch(
                f"SELECT {column['name']}::text FROM {table['name']}"
                f" WHERE {column['name']} IS NOT NULL ORDER BY 1"
            )
            columns[column["attnum"]] = (column["type"], tuple(row[0] for row in values))
        count = await session.fetchval(f"SELECT count(*) FROM {table['name']}")
        found[table["oid"]] = (count, columns)
    return found


def _refuse_losses(before: _Values, after: _Values, *, is_altered: bool) -> None:
    if is_altered or _is_lost(before, after):
        raise _FailedError(End.LOST)


def _is_lost(before: _Values, after: _Values) -> bool:
    for oid, (rows, columns) in before.items():
        if rows == 0:
            continue
        if oid not in after or after[oid][0] == 0:
            return True
        if any(values and number not in after[oid][1] for number, (_, values) in columns.items()):
            return True
    return False


def _is_altered(before: _Values, after: _Values) -> bool:
    return any(
        columns[number][1] != after[oid][1][number][1]
        for oid, (_, columns) in before.items()
        for number in columns
    )


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator["Connection[Record]"]:
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()
