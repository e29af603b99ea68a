"""``status``, ``migrate`` and ``history``: what they do, without Typer.

The first two run at every deploy and in every health check, mostly with nothing to do. Typer,
and what it imports, would be two thirds of their time; so their plain forms are recognised
before it is imported, and it parses only what is left.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from partman.cli.text_table import table
from partman.database.connection import connected
from partman.database.project_settings import project_settings
from partman.database.wait import connected_when_ready
from partman.errors import ExitCode, MigrationFailedError
from partman.logs import configure_logging
from partman.migration.ledger import history, preflight
from partman.migration.ledger.files import migration_files
from partman.migration.ledger.status import Status, read_status, refuse_hidden
from partman.settings import Settings, log_format
from partman.terminal import OUTPUT_CLOSED
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.ledger.history import Entry
    from partman.migration.ledger.preflight import Problem

logger = logging.getLogger("partman.migrate")

TIMEOUT = 60.0
"""Seconds that ``migrate`` and ``wait`` wait for the database."""
RETRIES = 5
"""How often ``migrate`` tries again what a lock timeout stopped."""


def run(arguments: Sequence[str]) -> bool:
    """Run the command if it is one that needs no parsing; exit, or return that it is not."""
    commands = {
        ("status",): lambda: show_status(as_json=False),
        ("status", "--json"): lambda: show_status(as_json=True),
        ("migrate",): lambda: migrate(TIMEOUT, RETRIES),
    }
    command = commands.get(tuple(arguments))
    if command is None:
        return False
    configure_logging(log_format())
    code = command()
    print(end="", flush=True)  # there may be no sys.stdout
    sys.exit(code)


def show_status(*, as_json: bool) -> ExitCode:
    """Print where the database stands; NO when something is pending."""
    status, problems = asyncio.run(_read_status(project_settings()))
    print(_status_json(status, problems) if as_json else _status_text(status, problems))
    return ExitCode.NO if status.pending else ExitCode.OK


def migrate(timeout: float, retries: int) -> ExitCode:
    """Wait for the database, run what is pending, and say which version there is now."""
    settings = project_settings()
    before, problems = asyncio.run(_status_when_ready(settings, timeout))
    logger.info("schema version before: %s", _version(before))
    after = before
    if not before.pending:
        preflight.report(problems, settings)
    else:
        from partman.migration.runner.piccolo_commands import run_forwards_patiently

        try:
            asyncio.run(run_forwards_patiently(retries, logger.warning))
        except BrokenPipeError as error:
            raise MigrationFailedError(OUTPUT_CLOSED) from error
        after, _ = asyncio.run(_read_status(settings))
    logger.info("schema version now: %s", _version(after))
    print(_summary(before, after))
    return ExitCode.OK


def show_history(*, as_json: bool) -> ExitCode:
    """Print what ran, oldest first."""

    async def read() -> "list[Entry]":
        async with connected(project_settings()) as connection:
            entries = await history.read(connection)
            if not entries:
                await refuse_hidden(connection)
            return entries

    entries = asyncio.run(read())
    print(_history_json(entries) if as_json else _history_text(entries))
    return ExitCode.OK


async def _read_status(settings: Settings) -> "tuple[Status, list[Problem]]":
    files = migration_files()
    async with connected(settings) as connection:
        return await read_status(connection, files), await preflight.inspect(connection, files)


async def _status_when_ready(settings: Settings, patience: float) -> "tuple[Status, list[Problem]]":
    files = migration_files()
    async with connected_when_ready(settings, patience=patience, report=logger.info) as connection:
        return await read_status(connection, files), await preflight.inspect(connection, files)


def _version(status: Status) -> str:
    return status.version or "none, no migration is applied"


def _summary(before: Status, after: Status) -> str:
    count = len(after.applied) - len(before.applied)
    if count == 0:
        return f"Nothing to do. The schema version is {_version(after)}."
    return f"{counted(count, 'migration')} applied. The schema version is {_version(after)}."


def _status_json(status: Status, problems: "list[Problem]") -> str:
    facts = {
        "version": status.version,
        "applied": len(status.applied),
        "pending": len(status.pending),
        "migrations": [asdict(state) for state in status.migrations],
        "problems": [asdict(problem) for problem in problems],
    }
    return json.dumps(facts, default=str, indent=2)


def _status_text(status: Status, problems: "list[Problem]") -> str:
    rows = [
        (
            state.id,
            state.description if state.has_file else "(no file)",
            f"{state.applied_at:%Y-%m-%d %H:%M:%S}" if state.applied_at else "pending",
        )
        for state in status.migrations
    ]
    header: tuple[str, ...] = ("migration", "description", "applied")
    lines = [*_with_apps(header, rows, [state.app for state in status.migrations]), ""]
    lines += [f"Note: {problem.message}" for problem in problems]
    lines.append(
        f"Schema version {_version(status)}; "
        f"{len(status.applied)} applied, {len(status.pending)} pending."
    )
    if status.pending:
        lines.append("Run them with: piccolo migrations forwards all")
    return "\n".join(lines)


def _history_json(entries: "list[Entry]") -> str:
    facts = [asdict(entry) | {"duration": entry.seconds} for entry in entries]
    return json.dumps(facts, default=str, indent=2)


def _history_text(entries: "list[Entry]") -> str:
    if not entries:
        return "No migration has been run by partman on this database."
    rows = [
        (
            f"{entry.started_at:%Y-%m-%d %H:%M:%S}",
            entry.migration,
            entry.direction,
            entry.outcome,
            "-" if entry.seconds is None else f"{entry.seconds:.3f} s",
            f"{entry.os_user}@{entry.host} as {entry.role}",
            (entry.revision or "-")[:12],
        )
        for entry in entries
    ]
    header = ("when (UTC)", "migration", "direction", "outcome", "took", "by", "revision")
    lines = _with_apps(header, rows, [entry.app for entry in entries])
    failed = [f"{entry.migration}: {entry.error}" for entry in entries if entry.error]
    return "\n".join([*lines, *(["", *failed] if failed else [])])


def _with_apps(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], apps: Sequence[str]
) -> list[str]:
    """Return the lines of a table; with a first column for the app where there are several."""
    if len(set(apps)) < 2:
        return table(header, rows)
    return table(("app", *header), [(app, *row) for app, row in zip(apps, rows, strict=True)])
