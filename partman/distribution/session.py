"""The session of distribute and undistribute, and the transaction in which they switch."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.compare import Difference
from partman.catalog.render import headline
from partman.database.connection import connected
from partman.database.explain import server_message
from partman.distribution import record
from partman.errors import (
    ConcurrentSchemaChangeError,
    DistributedError,
    MigrationFailedError,
    PreflightError,
)
from partman.migration.ledger import lock
from partman.migration.ledger.step_records import interruptions
from partman.retry import Patience
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SESSION = """
SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET client_min_messages = warning; SET search_path = public;
SET client_connection_check_interval = 500;
"""
Report = Callable[[str], None]


@asynccontextmanager
async def session(
    settings: Settings, name: str, report: Report
) -> AsyncIterator["Connection[Record]"]:
    """Connect, without timeouts, and take the migration lock.

    Raises LockHeldError, and PreflightError if an online migration is under way.
    """
    async with connected(settings, f"partman {name}") as connection:
        await connection.execute(_SESSION)
        await lock.acquire(connection, patience=settings.policy.lock_wait, report=report)
        await _refuse_interrupted(connection)
        yield connection


async def _refuse_interrupted(connection: "Connection[Record]") -> None:
    # How far its backfill is would mean other rows, in another order.
    if found := await interruptions(connection):
        _, migration, _ = found[0].migration
        raise PreflightError(
            f"The online migration {migration} was interrupted at its step {found[0].step}. "
            "Nothing was done. Finish it first: partman migrate"
        )


@asynccontextmanager
async def locked_transaction(
    connection: "Connection[Record]", settings: Settings, statements: Iterable[str]
) -> AsyncIterator[None]:
    """Open a transaction and lock its tables, in several short attempts.

    ``statements`` begin with the settings and the LOCK TABLE. Raises LockHeldError after
    PARTMAN_LOCK_WAIT.
    """
    wait = Patience(settings.policy.lock_wait, first=0.2, longest=2.0)
    timeout = round(settings.policy.lock_timeout * 1000)
    while True:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"SET LOCAL lock_timeout = {timeout}")
            for statement in until_lock(statements):
                await connection.execute(statement)
            await connection.execute("SET LOCAL lock_timeout = 0")
            break
        except asyncpg.LockNotAvailableError as error:
            await transaction.rollback()
            if not await wait.pause():
                raise ConcurrentSchemaChangeError(
                    f"Other sessions used the tables for {wait.waited:.0f} s, so that they could "
                    "not be locked. Nothing was distributed. Run the command again when there is "
                    "less to do, or allow more time with PARTMAN_LOCK_WAIT."
                ) from error
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await transaction.rollback()
        raise
    await transaction.commit()


def until_lock(statements: Iterable[str]) -> list[str]:
    """Return the statements up to LOCK TABLE."""
    found = list(statements)
    end = next(at for at, each in enumerate(found) if each.startswith("LOCK TABLE"))
    return found[: end + 1]


def after_lock(statements: Iterable[str]) -> list[str]:
    """Return the statements after LOCK TABLE."""
    found = list(statements)
    return found[len(until_lock(found)) :]


async def counts(connection: "Connection[Record]", tables: Iterable[str]) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def same_counts(connection: "Connection[Record]", rows: dict[str, int], name: str) -> None:
    """Raise MigrationFailedError if a table does not have as many rows as before."""
    for table, number in (await counts(connection, rows)).items():
        if number != rows[table]:
            raise MigrationFailedError(
                f"partman {name}: {table} had {rows[table]} rows and now has {number}. Everything "
                "was rolled back; the database is as it was."
            )


def refuse_differences(differences: list[Difference], name: str) -> None:
    """Raise MigrationFailedError if the result is not what it has to be."""
    if differences:
        raise MigrationFailedError(
            f"partman {name}: the result would differ from what it has to be: "
            f"{first_headlines(differences)}. Everything "
            "was rolled back; the database is as it was."
        )


def first_headlines(differences: list[Difference]) -> str:
    """Return what differs, in one line."""
    return "; ".join(headline(each) for each in differences[:5])


async def run_recorded(
    connection: "Connection[Record]", direction: str, step: str, statement: str, report: Report
) -> None:
    """Run a statement, record it, and say that it is done. Raises as run_statement()."""
    row = await record.begin(connection, direction, step, statement)
    await run_statement(connection, statement)
    await record.finish(connection, row)
    report_done(statement, report)


def report_done(statement: str, report: Report) -> None:
    """Say that a statement is done."""
    report(f"  {first_line(statement)} ... done")


async def run_statement(connection: "Connection[Record]", statement: str) -> None:
    """Run a statement. Raises MigrationFailedError, DistributedError if the connection is lost."""
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        raise MigrationFailedError(
            f"{first_line(statement)}: {server_message(error)}. What was not committed was rolled "
            "back. Correct the cause, and run the command again."
        ) from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise DistributedError(
            f"The connection was lost during {first_line(statement)}. What was not committed was "
            "rolled back. Run the command again: it goes on where it stopped."
        ) from error


def first_line(statement: str) -> str:
    """Return the first line of a statement."""
    return statement.strip().partition("\n")[0]
