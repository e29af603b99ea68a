"""``partman adopt``: take over a database that partman did not migrate."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman import terminal
from partman.cli import differences, look
from partman.cli.look import Block
from partman.cli.options import Json, NoCache, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings
from partman.errors import ExitCode
from partman.progress import Progress
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.ledger.files import MigrationFile
    from partman.migration.verification.match import Match


def adopt(
    allow_extra: Annotated[
        bool,
        typer.Option("--allow-extra", help="Pass over what only this database has; list it."),
    ] = False,
    through: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Record the migrations up to this one, too: they were run by hand.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look and tell; record nothing.")
    ] = False,
    scratch: ScratchOption = Scratch.SERVER,
    no_cache: NoCache = False,
    strict: differences.Strict = False,
    as_json: Json = False,
) -> None:
    """Record a database as migrated that other means have built or migrated.

    The migrations are run on a scratch database, one by one, and the catalogs are compared. What
    is proven to be equal is recorded in one transaction, and `piccolo migrations forwards all`
    goes on from there. Otherwise the differences are shown, and nothing is recorded.

    A database without a ledger is compared after each migration; all migrations up to the first
    whose result it equals are recorded. A database that stock Piccolo has migrated has a ledger
    and no history. It is compared with the result of exactly the ledger's migrations; they are
    recorded in the history, and the notes about them end.

    A database that `partman distribute` has made is compared with the distributed form, and each of
    its nodes with the coordinator.

    A migration that changes rows only leaves no trace in the schema. At the end it is not
    recorded, and so will be run: the default data, for one, leaves alone what is there. If it was
    done by hand and must not be done again, name it with `--through`. With a ledger, `--through`
    names the last of the pending migrations that were run by hand.

    Exit code 1 when the database is not equal; with --strict, nothing is recorded either, and it
    is 1, if something could not be compared.

    Example: `partman adopt --dry-run`
    """
    from partman.migration.verification.adopt import adopt as run

    settings = project_settings()
    with Progress("Comparing the database with the migrations", "migration") as progress:
        match = terminal.run(
            run(
                settings,
                scratch_settings(settings, scratch, anew=no_cache),
                allow_extra=allow_extra,
                through=through,
                dry_run=dry_run,
                strict=strict,
                on_migration=lambda file: progress.advance(
                    f"On a scratch database: {_named(file)}"
                ),
            )
        )
    is_proven = match.may_be_recorded(strict=strict)
    recorded = is_proven and not dry_run
    if as_json:
        typer.echo(_json(match, recorded))
    else:
        look.show(report(match, recorded))
    raise typer.Exit(ExitCode.OK if is_proven else ExitCode.NO)


def report(match: "Match", recorded: bool) -> Iterator[Block]:
    """Yield it for people."""
    comparison = match.comparison
    assert comparison is not None
    if match.is_equal:
        objects = counted(len(match.found.objects), "object")
        beside = f" beside {counted(len(match.extra), 'extra object')}" if match.extra else ""
        count = counted(len(match.migrations), "migration")
        yield look.verdict(
            "equal", look.GOOD, f"{objects} compared: equal to {_result(match)}{beside}."
        )
        yield look.said(
            f"{count} recorded as adopted."
            if recorded
            else f"{count} to record; nothing was recorded."
        )
    else:
        yield look.verdict(*_refusal(match))
    yield from differences.not_compared(comparison)
    if match.scratch_note:
        yield look.note(match.scratch_note)
    if match.extra or not match.is_equal:
        yield look.BLANK
        yield from differences.blocks([*match.differences, *match.extra])
        yield from differences.beyond(comparison)
        yield look.BLANK
    yield from _next(match, recorded) if match.is_equal else _remedy(match)


def _next(match: "Match", recorded: bool) -> Iterator[Block]:
    """Yield what the comparison does not prove, and how to go on."""
    for file in match.unproven:
        yield look.said(f"Changes rows only, and is taken for done: {_named(file)}.")
    for file in match.pending:
        yield look.said(f"Changes rows only, and is still to run: {_named(file)}.")
    yield from (look.note(note.message) for note in match.notes)
    if recorded:
        yield look.Verbatim("Go on with: piccolo migrations forwards all")


def _refusal(match: "Match") -> tuple[str, str, str]:
    """Return the verdict of a database that is not adopted: why nothing was recorded."""
    assert match.comparison is not None
    number = counted(match.comparison.number, "difference")
    if match.ahead:
        word = "the ledger is ahead"
        reason = (
            "The ledger is ahead of the database, which does not have the result of "
            f"{_listed(match.ahead)}."
        )
    elif match.by_hand:
        word = "the database is ahead"
        reason = (
            "The database is ahead of the ledger: it has the result of "
            f"{_listed(match.by_hand)}, which is pending."
        )
    elif match.applied:
        word, reason = number, f"The database is not {_result(match)}: {number}."
    else:
        word = number
        reason = (
            f"No migration builds this database. The nearest is {_named(match.boundary)}, with "
            f"{number}."
        )
    return word, look.BAD, f"{reason} Nothing was recorded."


def _remedy(match: "Match") -> Iterator[Block]:
    """Yield what to do about it."""
    from partman.grammar.names import literal  # not needed for --help

    assert match.comparison is not None
    if match.ahead:
        for file in match.unproven:
            if file in match.ahead:
                yield look.said(f"Changes rows only, and may have been run: {_named(file)}.")
        keys = ", ".join(f"({literal(file.app)}, {literal(file.id)})" for file in match.ahead)
        yield look.said("To run it again, remove it from the ledger, then run the command again:")
        yield look.Verbatim(f"DELETE FROM migration WHERE (app_name, name) IN ({keys});")
    elif match.by_hand:
        yield look.Verbatim(
            "If it was run by hand, type: partman adopt --through " + match.by_hand[-1].id
        )
    else:
        yield from differences.remedy(match.comparison)
        yield look.said(_advice(match))


def _result(match: "Match") -> str:
    if not match.applied:
        return _named(match.boundary)
    added = len({file.key for file in match.migrations} - {file.key for file in match.applied})
    more = f" and {counted(added, 'pending one')}" if added else ""
    return f"what the ledger's {counted(len(match.applied), 'migration')}{more} build"


def _advice(match: "Match") -> str:
    beyond = match.comparison.beyond.differences if match.comparison else ()
    is_extra = [difference.verdict == "extra" for difference in match.differences]
    if all([*is_extra, *(each.expected is None for each in beyond)]):
        return "If what is extra may stay, type: partman adopt --allow-extra"
    return "Bring the database to the expected state, then run the command again."


def _listed(files: "tuple[MigrationFile, ...]") -> str:
    return ", ".join(map(_named, files))


def _named(file: "MigrationFile") -> str:
    return f"{file.id} ({file.description})" if file.description else file.id


def _json(match: "Match", recorded: bool) -> str:
    def keys(files: "tuple[MigrationFile, ...]") -> list[dict[str, Any]]:
        return [{"app": file.app, "migration": file.id} for file in files]

    facts = {
        "equal": match.is_equal,
        "recorded": recorded,
        "boundary": match.boundary.id,
        "objects": len(match.found.objects),
        "migrations": keys(match.migrations),
        "unproven": keys(match.unproven),
        "pending": keys(match.pending),
        "differences": differences.facts(match.differences),
        "extra": differences.facts(match.extra),
        "applied": keys(match.applied),
        "ledger_ahead": keys(match.ahead),
        "run_by_hand": keys(match.by_hand),
        "notes": [
            *({"kind": note.kind, "message": note.message} for note in match.notes),
            *differences.scratch_facts(match.scratch_note),
        ],
    }
    if match.comparison:
        facts |= differences.beyond_facts(match.comparison.beyond)
    if match.comparison and match.differences and not (match.ahead or match.by_hand):
        facts |= differences.remedy_facts(match.comparison.remedy)
    return json.dumps(facts, indent=2)
