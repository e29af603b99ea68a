"""``partman verify``: whether migrations can be reverted and applied again, and keep the rows."""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman import terminal
from partman.cli import differences, look
from partman.cli.look import Block
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import imported_settings
from partman.deferred import load_when_used
from partman.errors import ExitCode, OfferMissingError
from partman.progress import Progress
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.ledger.files import MigrationFile
    from partman.migration.verification.round_trip import Failure, Verification, Verified
    from partman.migration.verification.row_contents import Touched


def verify(
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ID",
            help="The migration to begin with; those before it are run once.",
            show_default="the first",
        ),
    ] = None,
    scratch: ScratchOption = Scratch.SERVER,
    as_json: Json = False,
) -> None:
    """Apply, revert and re-apply every migration on a scratch database that contains rows.

    Reverting must restore exactly the previous schema, and re-applying the same schema as the first
    time. The rows that the apps offer (`rows` in their PARTMAN_CONFIG) are inserted as soon as the
    schema accepts them, and must not change: columns that a migration does not add, drop or give
    another type are compared, table by table.

    A migration that changes rows on purpose declares the columns, or the tables that lose rows,
    next to its ID: `REWRITES = ["partners.website", "alerts"]`

    With exit code 1, the output names the first migration that fails, its direction, and the
    differences.

    Example: `partman verify --from 2026-11-24T09:20:00:000000`
    """
    load_when_used("black")  # Piccolo formats new migrations with it
    from partman.apps import offered
    from partman.migration.verification.round_trip import verify as run

    where = scratch_settings(imported_settings(), scratch)
    fills = offered("rows", _report_missing)
    with Progress("Applying, reverting and re-applying the migrations", "migration") as progress:

        def passed(verified: "Verified") -> None:
            progress.advance(f"Verified {verified.migration.id}")

        found = terminal.run(run(where, fills=fills, first=first, on_verified=passed))
    if as_json:
        typer.echo(_json(found, fills))
    else:
        look.show(report(found, fills))
    raise typer.Exit(ExitCode.NO if found.failure else ExitCode.OK)


def _report_missing(error: OfferMissingError) -> None:
    typer.echo(f"Without these rows: {error}", err=True)


def _passed(found: "Verification") -> Iterator[Block]:
    if found.verified:
        yield look.BLANK
    for each in found.verified:
        rows = f"{counted(each.rows, 'row')} in {counted(each.filled, 'table')}"
        yield look.Prose(
            ((f"{_named(each.migration)}: up, down, up; {rows}", look.PLAIN),), hanging=2
        )


def _named(migration: "MigrationFile") -> str:
    return f"{migration.id}  {migration.description or migration.path.stem}"


def report(found: "Verification", fills: Collection[str]) -> Iterator[Block]:
    """Yield it for people."""
    if found.failure:
        yield from _failure(found.failure)
        yield from _passed(found)
        return
    if not found.verified:
        yield look.said("There are no migrations.")
        return
    last = found.verified[-1]
    objects = counted(last.objects, "object")
    what = f"{objects} and all rows" if fills else objects
    yield look.verdict(
        "verified",
        look.GOOD if fills and not last.empty else look.WARNING,
        f"{counted(len(found.verified), 'migration')}: {what} as they should be at every boundary.",
    )
    if not fills:
        yield look.note(
            "Rows were not verified, except for those that the migrations insert: no app offers "
            "rows. An app names a function that inserts some as rows in its PARTMAN_CONFIG."
        )
    if last.empty:
        yield look.note(f"Without rows, and so not known to keep them: {', '.join(last.empty)}.")
    yield from _passed(found)


def _failure(failure: "Failure") -> Iterator[Block]:
    yield look.verdict(
        f"{failure.direction} failed", look.BAD, f"{_named(failure.migration)}: {_advice(failure)}"
    )
    yield look.BLANK
    if failure.error:
        yield look.said(failure.error)
    yield from differences.blocks(failure.differences)
    yield from (look.said(_touched(each)) for each in failure.touched)
    yield look.BLANK
    yield look.Verbatim(f"The file: {failure.migration.path.name}")


def _touched(touched: "Touched") -> str:
    said = []
    if touched.lost:
        in_columns = f" in {', '.join(touched.columns)}" if touched.columns else ""
        said.append(f"{touched.lost} of {counted(touched.before, 'row')} not as before{in_columns}")
    if touched.added:
        said.append(f"{counted(touched.added, 'row')} too many")
    return f"rows      table {touched.table}: {'; '.join(said)}"


def _advice(failure: "Failure") -> str:
    if failure.error:
        return "It did not run to its end."
    if failure.direction == "up again":
        return "The second time it did not build what it built the first time."
    if failure.direction == "down" and failure.differences:
        return (
            "It left something behind, or did not bring something back: is its way back complete?"
        )
    meant = [
        name
        for touched in failure.touched
        for name in [f"{touched.table}.{column}" for column in touched.columns] or [touched.table]
    ]
    return f"If it is meant to change these rows, let it say so: REWRITES = {json.dumps(meant)}"


def _json(found: "Verification", fills: Collection[str]) -> str:
    facts = {
        "verified": [
            {**_migration(each.migration), "objects": each.objects, "rows": each.rows}
            | {"tables_with_rows": each.filled, "tables_without_rows": each.empty}
            for each in found.verified
        ],
        "rows_of": list(fills),
        "failure": _failure_facts(found.failure) if found.failure else None,
    }
    return json.dumps(facts, indent=2)


def _failure_facts(failure: "Failure") -> dict[str, Any]:
    return {
        **_migration(failure.migration),
        "direction": failure.direction,
        "error": failure.error,
        "differences": differences.facts(failure.differences),
        "rows": [asdict(each) for each in failure.touched],
    }


def _migration(migration: "MigrationFile") -> dict[str, str]:
    return {"app": migration.app, "migration": migration.id, "file": migration.path.name}
