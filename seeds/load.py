"""Puts the development data into a database, counts it, and takes it out again.

Each of these is one transaction: a process that is killed leaves nothing behind. A
transaction-level advisory lock lets one of them run at a time.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from partman.database.explain import CONNECTION_LOST, server_message
from partman.errors import PartmanError, PermissionDeniedError
from seeds.identity import FIRST_ID, LAST_ID, seed_of
from seeds.rows import ROW_TYPES, Row
from seeds.tables import seeded_tables, tables_without_generator

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from seeds.generate import SeedPlan

DEFAULT_ORGANIZATION = UUID("00000000-0000-4000-8000-000000000001")
"""The organization that the default-data migration makes."""
ADVISORY_LOCK = 0x5EED_5EED
BATCH = 5_000
"""Rows a COPY; the progress bar moves after each."""
LOCK_TIMEOUT = "10s"
"""How long removing waits for those who are writing to the tables."""

Counts = Mapping[str, int]
"""How many rows, by table."""


class SchemaBehindError(PartmanError):
    """The database has not the tables that the data goes into."""


class SeedFailedError(PartmanError):
    """The database refused the data."""


class RowsAddedError(PartmanError):
    """Rows that were added since would be lost along with the seeded ones."""


@dataclass(frozen=True)
class SeedStatus:
    """What of the development data is in a database."""

    seed: int | None
    """The seed it was made from; None while there is none."""
    rows: Counts
    without_generator: tuple[str, ...]
    """Tables of the tenants that are left empty."""

    @property
    def is_seeded(self) -> bool:
        """Whether there is any."""
        return any(self.rows.values())


@dataclass(frozen=True)
class Seeding:
    """What an attempt to seed came to."""

    status: SeedStatus
    """What is in the database now."""
    was_seeded: bool
    """Whether it was there before, so that nothing was changed."""


async def seed(
    connection: "Connection[Record]",
    plan: "SeedPlan",
    *,
    reset: bool = False,
    on_progress: Callable[[int], None] = lambda opportunities: None,  # noqa: ARG005
) -> Seeding:
    """Make and load the planned rows, unless development data is there already.

    With ``reset``, what is there is taken out first. The plan's organizations begin with the
    default one, if the database has it. ``on_progress`` is told of each batch of opportunities.

    Raises SchemaBehindError, RowsAddedError, SeedFailedError, PermissionDeniedError: the
    database is as it was.
    """
    async with _one_at_a_time(connection, "Nothing was seeded"):
        await _refuse_pending(connection)
        if reset:
            await _remove(connection)
        present = await _count(connection)
        if present.is_seeded:
            return Seeding(present, was_seeded=True)
        default = await connection.fetchval(
            "SELECT id FROM organizations WHERE id = $1", DEFAULT_ORGANIZATION
        )
        await _load(connection, replace(plan, default_organization=default), on_progress)
        return Seeding(await _count(connection), was_seeded=False)


async def status(connection: "Connection[Record]") -> SeedStatus:
    """Count the development data. Raises SchemaBehindError, PermissionDeniedError."""
    async with _explained("Nothing was counted"), connection.transaction(readonly=True):
        await connection.execute("SET LOCAL row_security = off")
        await _refuse_missing_tables(connection)
        return await _count(connection)


async def clear(connection: "Connection[Record]") -> Counts:
    """Remove the seeded rows and no others; return how many of each there were.

    A seeded row that was edited since is still one. An alert added since that names a seeded
    row in ``entity_id`` stays: no foreign key ties them together. A seeded organization takes the
    console accounts of its admins along, unless the role may see that there are some.

    Raises SchemaBehindError, RowsAddedError, SeedFailedError, PermissionDeniedError: the
    database is as it was.
    """
    async with _one_at_a_time(connection, "Nothing was removed"):
        await _refuse_missing_tables(connection)
        return await _remove(connection)


@asynccontextmanager
async def _one_at_a_time(
    connection: "Connection[Record]", nothing_done: str
) -> AsyncIterator[None]:
    async with _explained(nothing_done), connection.transaction():
        # Hidden rows must be an error: unseen, they would be counted as absent.
        await connection.execute("SET LOCAL row_security = off")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        yield


@asynccontextmanager
async def _explained(nothing_done: str) -> AsyncIterator[None]:
    """Turn what the database says of a failure into one line to act on."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The role may not do this: {error}. {nothing_done}. Connect as the owner of the "
            "tables; where row level security is forced, the role must also bypass it."
        ) from error
    except asyncpg.UniqueViolationError as error:
        raise SeedFailedError(
            f"A row that is already there is in the way: {error.detail} in {error.table_name}. "
            f"{nothing_done}. Rename or remove that row, then try again."
        ) from error
    except asyncpg.LockNotAvailableError as error:
        raise SeedFailedError(
            f"Somebody else is working on the tables: {error}. {nothing_done}. "
            "End the other transaction (see pg_stat_activity), then try again."
        ) from error
    except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
        raise SeedFailedError(
            f"The database refused: {server_message(error)}. {nothing_done}."
        ) from error


async def _refuse_pending(connection: "Connection[Record]") -> None:
    from partman.migration.ledger.status import read_status

    pending = (await read_status(connection)).pending
    if pending:
        raise SchemaBehindError(
            f"Pending migrations: {len(pending)}, the first is {pending[0].id} "
            f"({pending[0].description}). Nothing was seeded. "
            "Run: piccolo migrations forwards all"
        )
    await _refuse_missing_tables(connection)


async def _refuse_missing_tables(connection: "Connection[Record]") -> None:
    missing = await connection.fetchval(
        "SELECT string_agg(name, ', ') FROM unnest($1::text[]) AS name "
        "WHERE to_regclass(name) IS NULL",
        seeded_tables(),
    )
    if missing:
        raise SchemaBehindError(
            f"The database has no {missing}. Nothing was changed. "
            "Run: piccolo migrations forwards all"
        )


async def _load(
    connection: "Connection[Record]", plan: "SeedPlan", on_progress: Callable[[int], None]
) -> None:
    from seeds.generate import generate

    tables = {table: ROW_TYPES[table]._fields for table in seeded_tables()}
    for organization in generate(plan):
        for table, columns in tables.items():
            for batch in _batches(organization.of(table)):
                await connection.copy_records_to_table(table, records=batch, columns=columns)
                if table == "opportunities":
                    on_progress(len(batch))


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


async def _count(connection: "Connection[Record]") -> SeedStatus:
    rows: dict[str, int] = {}
    seed = None
    for table in seeded_tables():
        record = await connection.fetchrow(
            f"""
            SELECT
                (SELECT count(*) FROM {table} WHERE id BETWEEN $1 AND $2) AS rows,
                (SELECT id FROM {table} WHERE id BETWEEN $1 AND $2 LIMIT 1) AS example
            """,
            FIRST_ID,
            LAST_ID,
        )
        assert record is not None
        rows[table] = record["rows"]
        if record["example"] is not None:
            seed = seed_of(record["example"])
    return SeedStatus(seed, rows, tables_without_generator())


async def _remove(connection: "Connection[Record]") -> Counts:
    # A row that refers to a seeded one cannot be added from here on: its foreign-key check
    # would need a lock on that row's table. Reading goes on.
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    tables = seeded_tables()
    await connection.execute(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
    await _refuse_to_cascade(connection)
    removed = {}
    for table in reversed(tables):
        tag = await connection.execute(
            f"DELETE FROM {table} WHERE id BETWEEN $1 AND $2",
            FIRST_ID,
            LAST_ID,
        )
        removed[table] = int(tag.rpartition(" ")[2])
    return {table: removed[table] for table in tables}


async def _refuse_to_cascade(connection: "Connection[Record]") -> None:
    """Raise RowsAddedError if rows of others refer to seeded ones, in whatever table."""
    found = []
    for reference in await connection.fetch(_REFERENCES, seeded_tables()):
        refers = " OR ".join(f"{column} BETWEEN $1 AND $2" for column in reference["columns"])
        not_seeded = "id NOT BETWEEN $1 AND $2" if reference["is_seeded"] else "true"
        count = await connection.fetchval(
            f"SELECT count(*) FROM {reference['name']} WHERE ({refers}) AND {not_seeded}",
            FIRST_ID,
            LAST_ID,
        )
        if count:
            found.append(f"{count} {reference['name']}")
    if found:
        raise RowsAddedError(
            f"Rows that the seed did not make belong to seeded ones: {', '.join(found)}. They "
            "would be deleted, or lose what they refer to. Nothing was changed. Delete them, or "
            "move them to rows of your own, then try again."
        )


_REFERENCES = """
    SELECT
        referring.oid::regclass::text AS name,
        referring.oid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) AS is_seeded,
        array_agg(DISTINCT quote_ident(referring_column.attname)) AS columns
    FROM pg_constraint AS foreign_key
    JOIN pg_class AS referring ON referring.oid = foreign_key.conrelid
    CROSS JOIN unnest(foreign_key.conkey, foreign_key.confkey) AS key (referring, referred)
    JOIN pg_attribute AS referring_column
        ON referring_column.attrelid = foreign_key.conrelid
        AND referring_column.attnum = key.referring
    JOIN pg_attribute AS referred_column
        ON referred_column.attrelid = foreign_key.confrelid
        AND referred_column.attnum = key.referred
    WHERE foreign_key.contype = 'f'
        AND foreign_key.conparentid = 0
        AND foreign_key.confrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
        AND referred_column.attname = 'id'
        -- An operator of the console chooses again. And an account of the console that the role
        -- may not see goes with its organization.
        AND referring.relname <> 'console_sessions'
        AND has_table_privilege(referring.oid, 'SELECT')
    GROUP BY referring.oid
    ORDER BY name
"""
"""Which columns of which tables refer to the ids of the seeded tables. Of a composite key,
(organization_id, id), it is the column that refers to the id."""
