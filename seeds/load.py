"""Insert, count and remove the development data.

Each of these is one transaction: a killed process leaves nothing behind. A transaction-level
advisory lock allows one of them at a time.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from partman.database.distributed import own_distribution
from partman.database.explain import CONNECTION_LOST, server_message
from partman.database.standby import refuse_standby
from partman.errors import PartmanError, PermissionDeniedError
from seeds.identity import FIRST_ID, LAST_ID, seed_of
from seeds.rows import ROW_TYPES
from seeds.tables import seeded_tables, tables_without_generator

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from seeds.batches import Batch
    from seeds.generate import SeedPlan

DEFAULT_ORGANIZATION = UUID("00000000-0000-4000-8000-000000000001")
"""The organization that the default-data migration creates."""
ADVISORY_LOCK = 0x5EED_5EED
LOCK_TIMEOUT = "10s"
"""How long the removal waits for sessions that write to the tables."""

# One connection to each node, because rows refer to an organization that was inserted over it; and
# each node gets the settings.
_ON_A_CLUSTER = """
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
SET LOCAL citus.propagate_set_commands = 'local';
"""

Counts = Mapping[str, int]
"""Numbers of rows, by table."""


class SchemaBehindError(PartmanError):
    """The database lacks the tables for the data."""


class SeedFailedError(PartmanError):
    """The database rejected the data."""


class RowsAddedError(PartmanError):
    """Rows added later would be lost along with the seeded ones."""


@dataclass(frozen=True)
class SeedStatus:
    """The development data in a database."""

    seed: int | None
    """The seed of the data; None without data."""
    rows: Counts
    without_generator: tuple[str, ...]
    """Tables of the tenants that stay empty."""

    @property
    def is_seeded(self) -> bool:
        """Whether the database has development data."""
        return any(self.rows.values())


@dataclass(frozen=True)
class Seeding:
    """The result of an attempt to seed."""

    status: SeedStatus
    """The data now in the database."""
    was_seeded: bool
    """Whether the data existed before, so that nothing was changed."""


async def seed(
    connection: "Connection[Record]",
    plan: "SeedPlan",
    *,
    reset: bool = False,
    jobs: int = 1,
    on_progress: Callable[[int], None] = lambda opportunities: None,  # noqa: ARG005
) -> Seeding:
    """Generate and load the planned rows, unless the database has development data already.

    With ``reset``, existing data is removed first. The plan's organizations begin with the default
    one, if the database has it. More than one of ``jobs`` generate the same rows in so many
    processes, while this one sends them. ``on_progress`` is called after each batch of
    opportunities, with their number.

    Raises SchemaBehindError, RowsAddedError, SeedFailedError, PermissionDeniedError,
    JobFailedError; then the database is unchanged.
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
        await _load(connection, replace(plan, default_organization=default), jobs, on_progress)
        return Seeding(await _count(connection), was_seeded=False)


async def status(connection: "Connection[Record]") -> SeedStatus:
    """Count the development data. Raises SchemaBehindError, PermissionDeniedError."""
    async with _explained("Nothing was counted"), connection.transaction(readonly=True):
        await _see_all_rows(connection, "Nothing was counted")
        await _refuse_missing_tables(connection)
        return await _count(connection)


async def clear(connection: "Connection[Record]") -> Counts:
    """Remove the seeded rows and no others; return the number of each.

    A seeded row that was edited later still counts as seeded. A later alert that names a seeded row
    in ``entity_id`` stays, because no foreign key connects them. Console accounts of a seeded
    organization are removed with it, but if the role can see them, they count as added rows.

    Raises SchemaBehindError, RowsAddedError, SeedFailedError, PermissionDeniedError; then the
    database is unchanged.
    """
    async with _one_at_a_time(connection, "Nothing was removed"):
        await _refuse_missing_tables(connection)
        return await _remove(connection)


@asynccontextmanager
async def _one_at_a_time(
    connection: "Connection[Record]", nothing_done: str
) -> AsyncIterator[None]:
    is_done = False
    try:
        async with _explained(nothing_done), connection.transaction():
            await refuse_standby(connection, nothing_done)
            await _see_all_rows(connection, nothing_done)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
            yield
            is_done = True
    except SeedFailedError as error:
        if is_done and isinstance(error.__cause__, CONNECTION_LOST):
            raise SeedFailedError(
                "The connection was lost in the commit, so it is not known whether it took effect: "
                "all of it, or nothing. See: partman seed status"
            ) from error
        raise


async def _see_all_rows(connection: "Connection[Record]", nothing_done: str) -> None:
    """Let hidden rows raise an error, on each node: they would be counted as absent."""
    if await own_distribution(connection, nothing_done):
        await connection.execute(_ON_A_CLUSTER)
    await connection.execute("SET LOCAL row_security = off")


@asynccontextmanager
async def _explained(nothing_done: str) -> AsyncIterator[None]:
    """Translate the database's errors into a line that says what to do."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The role lacks a privilege: {error}. {nothing_done}. Connect as the owner of the "
            "tables; if row level security is forced, the role must also bypass it."
        ) from error
    except asyncpg.UniqueViolationError as error:
        raise SeedFailedError(
            f"A row exists already: {error.detail} in {error.table_name}. {nothing_done}. Rename "
            "or remove that row, then try again."
        ) from error
    except asyncpg.LockNotAvailableError as error:
        raise SeedFailedError(
            f"Another session has locked the tables: {error}. {nothing_done}. End the other "
            "transaction (see pg_stat_activity), then try again."
        ) from error
    except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
        raise SeedFailedError(
            f"The server reported an error: {server_message(error)}. {nothing_done}."
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
    connection: "Connection[Record]",
    plan: "SeedPlan",
    jobs: int,
    on_progress: Callable[[int], None],
) -> None:
    from seeds.batches import NULL, batches

    # A foreign key's check is planned once in a session. Planned for the few rows that there are
    # now, it would read the whole table for each row that is inserted.
    await connection.execute("SET LOCAL enable_seqscan = off")
    tables = {table: ROW_TYPES[table]._fields for table in seeded_tables()}

    async def send(batch: "Batch") -> None:
        for table, columns in tables.items():
            if text := batch.texts.get(table):
                await connection.copy_to_table(
                    table, source=_sent(text), columns=columns, null=NULL, encoding="utf-8"
                )
        if batch.opportunities:
            on_progress(batch.opportunities)

    if jobs > 1:
        from seeds.jobs import in_processes

        await in_processes(plan, jobs, send)
    else:
        for batch in batches(plan, range(plan.organizations)):
            await send(batch)


async def _sent(text: bytes) -> AsyncIterator[bytes]:
    yield text


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
    # From now on no row can be added that refers to a seeded one: its foreign-key check would need
    # a lock on that row's table. Reads continue.
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
    """Raise RowsAddedError if other rows, in any table, refer to seeded ones."""
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
            f"Rows that the seed did not insert refer to seeded ones: {', '.join(found)}. They "
            "would be deleted, or lose their references. Nothing was changed. Delete them, or "
            "change their references to your own rows, then try again."
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
"""Columns that refer to the IDs of the seeded tables. Of a composite key, (organization_id, id), it
is the column that refers to the ID.
"""
