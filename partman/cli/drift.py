"""``partman drift``: whether the live database is what the code says."""

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from partman.cli import differences
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings
from partman.errors import ExitCode
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.verification.drift import Drift


def drift(scratch: ScratchOption = Scratch.SERVER, as_json: Json = False) -> None:
    """Compare the live database with what exactly its applied migrations build.

    The migrations that the ledger holds are run on a scratch database, and both catalogs are
    compared: tables, columns, keys, indexes, policies, rights, functions and all the rest. Each
    difference is told with what is expected and what was found; at the end comes the SQL that
    would bring it back, which is not run.

    Safe in production: the session can write nothing, waits for nobody, and is over before the
    scratch database is there.

    Exit code 1 when they differ.

    Example: `partman drift --scratch embedded`
    """
    from partman.migration.verification.drift import find_drift

    settings = project_settings()
    found = asyncio.run(find_drift(settings, scratch_settings(settings, scratch)))
    typer.echo(_json(found) if as_json else "\n".join(_text(found)))
    raise typer.Exit(ExitCode.NO if found.is_detected else ExitCode.OK)


def _text(drift: "Drift") -> Iterator[str]:
    yield from differences.text(drift.differences)
    if drift.differences:
        yield ""
        yield from differences.remedy(drift.expected, drift.found)
    yield from (f"Note: {note.message}" for note in drift.notes)
    if drift.scratch_note:
        yield f"Note: {drift.scratch_note}"
    result = counted(len(drift.differences), "difference") if drift.differences else "no difference"
    yield (
        f"{counted(len(drift.found.objects), 'object')} compared with what "
        f"{counted(len(drift.applied), 'applied migration')} build{_s(drift)}: {result}."
    )
    if not drift.applied and drift.differences:
        yield "Was this database there before partman? See: partman adopt --help"


def _s(drift: "Drift") -> str:
    return "s" if len(drift.applied) == 1 else ""


def _json(drift: "Drift") -> str:
    facts = {
        "applied": [{"app": app, "migration": migration} for app, migration in drift.applied],
        "objects": len(drift.found.objects),
        "differences": differences.facts(drift.differences),
        **differences.remedy_facts(drift.expected, drift.found),
        "notes": [
            *({"kind": note.kind, "message": note.message} for note in drift.notes),
            *differences.scratch_facts(drift.scratch_note),
        ],
    }
    return json.dumps(facts, indent=2)
