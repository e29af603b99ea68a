"""``partman plan``."""

import json
import os
from dataclasses import asdict
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman import terminal
from partman.cli import look
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings
from partman.errors import ExitCode, MigrationFailedError
from partman.progress import Progress
from partman.settings import Settings

if TYPE_CHECKING:
    from partman.plan.model import Plan


class FailOn(StrEnum):
    """From which verdict on the exit code is 1."""

    BRIEF_LOCK = "brief-lock"
    BLOCKS_WRITES = "blocks-writes"
    DEPENDS_ON_ROWS = "depends-on-rows"
    BLOCKS_READS = "blocks-reads"
    LOSES_DATA = "loses-data"


class Format(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"


def plan(
    sql: Annotated[bool, typer.Option("--sql", help="Print only the SQL.")] = False,
    as_json: Json = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="End with exit code 1 from this verdict on.", show_default=False),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="Plan what is new since this revision of git, against a database built at it.",
            show_default=False,
        ),
    ] = None,
    as_format: Annotated[
        Format,
        typer.Option("--format", help="markdown: for a comment; github: annotations of files."),
    ] = Format.TEXT,
    summary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write Markdown into this file, too.", show_default=False
        ),
    ] = None,
    scratch: ScratchOption = Scratch.SERVER,
) -> None:
    """Show what each pending migration would do to the database, before it does it.

    Each is run for real, on a scratch database at the version of the live one, which is only
    read: its locks and whom they block, what it rewrites, scans and builds, what data would be
    lost, whether it can be taken back, and what squawk says of it. In a line each: safe live,
    brief lock, blocks writes, depends on rows, blocks reads, loses data.

    Exit code 1 when one is as bad as `--fail-on` says, 7 when one cannot even be run. Code that
    may do anything, depending on the rows, is as bad as whatever `--fail-on` says: a function in
    Python, a DO block or a function that reads or changes a table.

    Of a database that `partman distribute` has made, rows and sizes are those of all nodes, and a
    migration that Citus would refuse there fails.

    With `--base`, for the review of a branch: nothing but the files and git is needed, and a
    server for scratch databases. A migration of the revision that was edited or removed since ends
    it with exit code 10.

    Example: `partman plan --fail-on blocks-writes`

    Example: `partman plan --base origin/main --format markdown --scratch embedded`
    """
    settings = project_settings()
    found = _made(settings, scratch_settings(settings, scratch), base)
    if summary is not None:
        from partman.cli.plan_review import markdown

        try:
            summary.write_text(markdown(found), "utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{summary}: {error.strerror}") from error
    if as_json or as_format is Format.JSON:
        typer.echo(_json(found))
    elif sql:
        typer.echo(_sql(found), nl=False)
    elif as_format is Format.MARKDOWN:
        from partman.cli.plan_review import markdown

        typer.echo(markdown(found), nl=False)
    elif as_format is Format.GITHUB:
        from partman.cli.plan_review import annotations

        top = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
        for line in annotations(found, top):
            typer.echo(line)
    else:
        from partman.cli.plan_report import report

        look.show(report(found))
    raise typer.Exit(_exit_code(found, fail_on))


def _made(settings: Settings, scratch: Settings, base: str | None) -> "Plan":
    from partman.plan.base import plan_against
    from partman.plan.trial import make_plan

    with Progress("Looking at what is pending") as progress:
        if base is None:
            return terminal.run(make_plan(settings, scratch, progress.say))
        return terminal.run(plan_against(base, scratch, progress.say))


def _exit_code(found: "Plan", fail_on: FailOn | None) -> ExitCode:
    if found.failed:
        return ExitCode.MIGRATION
    from partman.plan.model import Level

    levels = {level.option: level for level in Level}
    has_unseen_code = any(each.has_unseen_code for each in found.migrations)
    if fail_on and found.migrations and (found.level >= levels[fail_on] or has_unseen_code):
        return ExitCode.NO
    return ExitCode.OK


def _sql(found: "Plan") -> str:
    from partman.plan.squawk import as_text

    for each in found.migrations:
        if each.error:
            raise MigrationFailedError(f"{each.id} cannot be run: {each.error}")
    return "\n".join(
        f"-- {each.id} {each.description}\n{as_text([of.sql for of in each.statements])}"
        for each in found.migrations
    )


def _json(found: "Plan") -> str:
    facts = asdict(found) | {"level": found.level}
    for migration, each in zip(facts["migrations"], found.migrations, strict=True):
        for statement, of in zip(migration["statements"], each.statements, strict=True):
            for name in ("locks", "held"):
                for lock, taken in zip(statement[name], getattr(of, name), strict=True):
                    lock["blocks"] = taken.blocks
    return json.dumps(plain(facts), indent=2)


def plain(value: Any) -> Any:
    """Say an ordered verdict by its name, wherever it is."""
    from partman.plan.model import Level

    match value:
        case Level():
            return value.title
        case Enum():
            return value.value
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return value
