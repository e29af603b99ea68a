"""``partman adopt``: take over a database that was there before."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman.cli import differences
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings
from partman.errors import ExitCode
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.ledger.files import MigrationFile
    from partman.migration.verification.adopt import Match


def adopt(
    allow_extra: Annotated[
        bool,
        typer.Option("--allow-extra", help="Pass over what only this database has; list it."),
    ] = False,
    through: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Record this one, too, which changes rows only and was run by hand.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look and tell; record nothing.")
    ] = False,
    scratch: ScratchOption = Scratch.SERVER,
    as_json: Json = False,
) -> None:
    """Record a database that was built by other means as migrated, once it is proven to be.

    The migrations are run on a scratch database, one by one, and after each the catalogs are
    compared. Where they are equal, all migrations so far are recorded, in one transaction, and
    `piccolo migrations forwards all` goes on from there. Where none is equal, the differences to
    the nearest are told, and nothing is recorded.

    A migration that changes rows only leaves no trace in the schema. At the end it is not
    recorded, and so will be run: the default data, for one, leaves alone what is there. If it was
    done by hand and must not be done again, name it with `--through`.

    Exit code 1 when the database equals no migration's result.

    Example: `partman adopt --dry-run`
    """
    from partman.migration.verification.adopt import adopt as run

    settings = project_settings()
    match = asyncio.run(
        run(
            settings,
            scratch_settings(settings, scratch),
            allow_extra=allow_extra,
            through=through,
            dry_run=dry_run,
            on_migration=_progress,
        )
    )
    recorded = not dry_run and not match.differences
    typer.echo(_json(match, recorded) if as_json else "\n".join(_text(match, recorded)))
    raise typer.Exit(ExitCode.NO if match.differences else ExitCode.OK)


def _progress(file: "MigrationFile") -> None:
    """Say to somebody who waits what is being run."""
    if sys.stderr.isatty():
        typer.echo(f"On a scratch database: {_named(file)}", err=True)


def _text(match: "Match", recorded: bool) -> Iterator[str]:
    yield from differences.text([*match.differences, *match.extra])
    if match.differences or match.extra:
        yield ""
    if match.differences:
        yield from differences.remedy(match.expected, match.found)
    if match.differences:
        yield (
            f"No migration builds this database. The nearest is {_named(match.boundary)}, with "
            f"{counted(len(match.differences), 'difference')}. Nothing was recorded."
        )
        yield _advice(match)
        return
    objects = counted(len(match.found.objects), "object")
    beside = f" beside {counted(len(match.extra), 'extra object')}" if match.extra else ""
    yield f"{objects} compared: equal to {_named(match.boundary)}{beside}."
    for file in match.unproven:
        yield f"Changes rows only, and is taken for done: {_named(file)}."
    count = counted(len(match.migrations), "migration")
    yield (
        f"{count} recorded as adopted." if recorded else f"{count} to record; nothing was recorded."
    )
    for file in match.pending:
        yield f"Changes rows only, and is still to run: {_named(file)}."
    if recorded:
        yield "Go on with: piccolo migrations forwards all"


def _advice(match: "Match") -> str:
    if all(difference.verdict == "extra" for difference in match.differences):
        return "If what is extra may stay, type: partman adopt --allow-extra"
    return "Bring the database to what is expected, then type the command again."


def _named(file: "MigrationFile") -> str:
    return f"{file.id} ({file.description})" if file.description else file.id


def _json(match: "Match", recorded: bool) -> str:
    def keys(files: "tuple[MigrationFile, ...]") -> list[dict[str, Any]]:
        return [{"app": file.app, "migration": file.id} for file in files]

    facts = {
        "equal": not match.differences,
        "recorded": recorded,
        "boundary": match.boundary.id,
        "objects": len(match.found.objects),
        "migrations": keys(match.migrations),
        "unproven": keys(match.unproven),
        "pending": keys(match.pending),
        "differences": differences.facts(match.differences),
        "extra": differences.facts(match.extra),
    }
    if match.differences:
        facts |= differences.remedy_facts(match.expected, match.found)
    return json.dumps(facts, indent=2)
