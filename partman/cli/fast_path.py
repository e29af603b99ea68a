"""``status``, ``migrate`` and ``history``: what they do, without Typer.

They run at every deploy and in every health check, mostly with nothing to do. Typer, and the
commands that it imports, would be two thirds of their time; so options that are written plainly
are read here, and Typer parses only the rest, with its own messages for mistakes.
"""

import gc
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from partman import terminal
from partman.cli.plain_options import plain_options
from partman.database.connection import connected
from partman.database.project_settings import project_settings
from partman.database.wait import connected_when_ready
from partman.deferred import load_when_used
from partman.errors import ExitCode, MigrationFailedError, UnreadableMigrationError
from partman.logs import configure_logging
from partman.migration.ledger import history, preflight
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.status import (
    Status,
    read_ledger,
    read_status,
    refuse_hidden,
    status_of,
)
from partman.settings import Settings, log_format
from partman.terminal import OUTPUT_CLOSED
from partman.wording import NO_VERSION, counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from partman.cli.look import Block
    from partman.database.cluster import ClusterState
    from partman.migration.ledger.preflight import Problem
    from partman.migration.ledger.running import Runs
    from partman.migration.ledger.timeline import Timeline

logger = logging.getLogger("partman.migrate")

TIMEOUT = 60.0
"""Seconds that ``migrate`` and ``wait`` wait for the database."""
RETRIES = 5
"""How often ``migrate`` tries again what a lock timeout stopped."""


_NEWEST = 20
"""How many runs ``history`` shows."""


def run(arguments: Sequence[str]) -> bool:
    """Run the command if its arguments need no parsing; exit, or return that they do."""
    given = plain_options(arguments)
    if given is None:
        return False
    as_json = "--json" in given
    limit = int(given["--limit"]) if "--limit" in given else None
    timeout, retries = given.get("--timeout", TIMEOUT), int(given.get("--retries", RETRIES))
    commands: dict[str, Callable[[], ExitCode]] = {
        "status": lambda: show_status(as_json=as_json),
        "history": lambda: show_history(as_json=as_json, limit=limit),
        "migrate": lambda: migrate(timeout, retries),
    }
    configure_logging(log_format())
    # What is read of thousands of migrations is kept to the end; the collector would only look.
    gc.disable()
    code = commands[arguments[0]]()
    print(end="", flush=True)  # there may be no sys.stdout
    sys.exit(code)


def show_status(*, as_json: bool) -> ExitCode:
    """Print where the database stands; PREFLIGHT when a run would stop, NO when one is needed."""
    from partman.cli.look import show
    from partman.cli.status_report import status_json, status_report

    settings = project_settings()
    timeline, cluster = terminal.run(_read_timeline(settings))
    stopping = [each for each in timeline.all_problems if preflight.stops(each, settings)]
    if as_json:
        print(status_json(timeline, _cluster_facts(cluster)))
    else:
        show(status_report(timeline, stopping))
        show(_cluster_report(cluster))
    if stopping:
        return ExitCode.PREFLIGHT
    return ExitCode.NO if timeline.status.pending else ExitCode.OK


def migrate(timeout: float, retries: int) -> ExitCode:
    """Wait for the database, run what is pending, and say which version there is now."""
    settings = project_settings()
    try:
        before, problems = terminal.run(_status_when_ready(settings, timeout))
    except UnreadableMigrationError:
        terminal.run(_when_ready(settings, timeout))
        _run_forwards(retries)  # records it, and says so
        raise
    logger.info("schema version before: %s", _version(before))
    after = before
    if not before.pending:
        preflight.report(problems, settings)
    else:
        _run_forwards(retries)
        after = terminal.run(_read_status(settings))
    logger.info("schema version now: %s", _version(after))
    print(_summary(before, after))
    return ExitCode.OK


def _run_forwards(retries: int) -> None:
    run = load_run()
    gc.freeze()  # what is loaded stays
    gc.enable()
    try:
        terminal.run(run(retries, logger.warning))
    except BrokenPipeError as error:
        raise MigrationFailedError(OUTPUT_CLOSED) from error


def load_run() -> "Callable[[int, Callable[[str], None]], Coroutine[Any, Any, None]]":
    """Load what runs migrations, and with it Piccolo; return run_forwards_patiently()."""
    load_when_used("black")  # Piccolo formats new migrations with it
    from partman.migration.runner.piccolo_commands import run_forwards_patiently

    return run_forwards_patiently


def show_history(*, as_json: bool, limit: int | None) -> ExitCode:
    """Print the newest ``limit`` runs, oldest first; 0: all; None: 20, or all as JSON."""
    from partman.cli.history_report import history_json, history_report
    from partman.cli.look import show
    from partman.migration.ledger.running import read_runs

    if limit is None:
        limit = 0 if as_json else _NEWEST

    async def read() -> "Runs":
        async with connected(project_settings()) as connection:
            runs = await read_runs(connection)
            if not runs.entries:
                await refuse_hidden(connection)
            return runs

    entries = terminal.run(read()).entries
    if as_json:
        print(history_json(entries, limit))
    else:
        show(history_report(entries, limit))
    return ExitCode.OK


async def _read_timeline(settings: Settings) -> "tuple[Timeline, ClusterState | None]":
    from partman.database.cluster import read_cluster
    from partman.migration.ledger.timeline import read_timeline

    files = migration_files()
    async with connected(settings) as connection:
        return await read_timeline(connection, files), await read_cluster(connection)


def _cluster_facts(cluster: "ClusterState | None") -> dict[str, Any]:
    if cluster is None:
        return {}
    from partman.cli.cluster_report import cluster_facts

    return cluster_facts(cluster)


def _cluster_report(cluster: "ClusterState | None") -> "Iterable[Block]":
    if cluster is None:
        return ()
    from partman.cli.cluster_report import cluster_report

    return cluster_report(cluster)


async def _read_status(settings: Settings) -> Status:
    async with connected(settings) as connection:
        return await read_status(connection)


async def _status_when_ready(settings: Settings, patience: float) -> "tuple[Status, list[Problem]]":
    files = migration_files()
    async with connected_when_ready(settings, patience=patience, report=logger.info) as connection:
        return await _status(connection, files)


async def _status(
    connection: "Connection[Record]", files: list[MigrationFile]
) -> "tuple[Status, list[Problem]]":
    entries = await history.read(connection)
    ledger = await read_ledger(connection)  # after the history, as in a timeline
    status = status_of(files, ledger)
    if status.pending:
        return status, []  # the run looks for problems itself, under the lock
    return status, await preflight.inspect(connection, files, entries, ledger)


async def _when_ready(settings: Settings, patience: float) -> None:
    async with connected_when_ready(settings, patience=patience, report=logger.info):
        pass


def _version(status: Status) -> str:
    return status.version or NO_VERSION


def _summary(before: Status, after: Status) -> str:
    count = len(after.applied) - len(before.applied)
    if count == 0:
        return f"Nothing to do. The schema version is {_version(after)}."
    return f"{counted(count, 'migration')} applied. The schema version is {_version(after)}."
