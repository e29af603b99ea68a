"""Indexes that are built outside a transaction: only a valid one is done."""

from typing import TYPE_CHECKING

from partman.database.other_sessions import in_the_way, obstacles, pids_of
from partman.errors import StepFailedError
from partman.grammar.names import quoted
from partman.migration.runner.step_statement import StepStatement, Work
from partman.migration.runner.waiting import SILENT, Waiting, patience_of_a_step

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def is_valid(connection: "Connection[Record]", statement: StepStatement) -> bool | None:
    """Whether the index that a statement builds is valid; None if there is none of its name."""
    if statement.work is not Work.BUILD or statement.index is None:
        return None
    valid: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_catalog.pg_index"
        " JOIN pg_catalog.pg_class c ON c.oid = indexrelid"
        " WHERE indrelid = to_regclass($1) AND c.relname = $2::text",
        statement.table,
        statement.index,
    )
    return valid


async def drop_invalid(
    connection: "Connection[Record]",
    statement: StepStatement,
    place: str,
    waiting: Waiting,
    *,
    patience: float,
) -> None:
    """Drop an invalid index of the name; IF NOT EXISTS would keep it, and be content.

    ``patience`` is how many seconds it waits for another session that builds one on the table;
    ``place`` names what wants to build, in the StepFailedError that is raised then.
    """
    if await is_valid(connection, statement) is not False:
        return
    schema = await connection.fetchval(
        "SELECT quote_ident(n.nspname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass($1)",
        statement.table,
    )
    await _wait_for_other_builds(connection, statement.table, place, waiting, patience)
    if await is_valid(connection, statement) is False:
        with waiting.watching_a_build():
            # IF EXISTS, because a failed build of a distributed table has left it on no shard.
            await connection.execute(
                f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{quoted(statement.index or '')}"
            )


async def _wait_for_other_builds(
    connection: "Connection[Record]", table: str, place: str, waiting: Waiting, patience: float
) -> None:
    wait = patience_of_a_step(patience)
    report = waiting.report()
    while pids := await connection.fetchval(
        "SELECT string_agg(pid::text, ',') FROM pg_catalog.pg_stat_progress_create_index"
        " WHERE relid = to_regclass($1) AND pid <> pg_backend_pid()",
        table,
    ):
        found = await obstacles(connection, pids_of(pids))
        if wait.waited >= SILENT:
            report.waits(found)
        if not await wait.pause():
            raise StepFailedError(
                f"Another session is building an index on {table}. Nothing was done in {place}. "
                f"{in_the_way(found)} Run the migrations again when it is done."
            )
    report.is_over()


async def refuse_invalid(
    connection: "Connection[Record]", statement: StepStatement, place: str
) -> None:
    """Raise StepFailedError if the index that was built is not valid."""
    if await is_valid(connection, statement) is False:
        raise StepFailedError(
            f"{place} ended without an error, but the index {statement.index} is not valid. "
            "Another session is building or dropping it. Run the migrations again when it is done."
        )
