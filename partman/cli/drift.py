"""``partman drift``: whether the live database is what the code says."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from partman import terminal
from partman.cli import differences, look
from partman.cli.look import Block
from partman.cli.options import Json, NoCache, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import imported_settings
from partman.deferred import load_when_used, loading
from partman.errors import ExitCode
from partman.wording import counted

if TYPE_CHECKING:
    from partman.migration.verification.drift import Drift


def drift(
    scratch: ScratchOption = Scratch.SERVER,
    no_cache: NoCache = False,
    strict: differences.Strict = False,
    as_json: Json = False,
) -> None:
    """Compare the live database with the result of its applied migrations.

    Runs the migrations in the ledger on a scratch database, and compares both catalogs: tables,
    columns, keys, indexes, policies, grants, functions and others. Each difference is shown with
    what is expected and what was found, tenant isolation first. If a pg_dump that fits the server
    is installed, its output is compared, too.

    Then prints SQL that leads to the expected state. It was tried on a copy of the schema, and is
    not run on the database. Renamed objects are renamed back. A statement that loses data is
    marked with the number of rows or values. What cannot be repaired in this way is listed as "By
    hand".

    Of a database that `partman distribute` has made, the distributed form is expected; the columns,
    policies, privileges and triggers of every node and shard are compared with the coordinator's.

    What the migrations build is kept in `.partman/`. It is used again while the files that were
    read, the server, its roles and its settings, the environment and the day are the same; then no
    scratch database is needed.

    Safe in production: reads in read-only sessions, which wait for no lock.

    Exit code 1 if they differ; with --strict, also if something could not be compared.

    Example: `partman drift --scratch embedded`

    Example: `partman drift --strict --json`
    """
    load_when_used("black")  # Piccolo formats new migrations with it
    with loading():
        from partman.apps import app_configs
        from partman.migration.verification.drift import find_drift

        settings = imported_settings()
        app_configs()
    found = terminal.run(find_drift(settings, scratch_settings(settings, scratch, anew=no_cache)))
    if as_json:
        typer.echo(_json(found))
    else:
        look.show(report(found))
    incomplete = strict and found.comparison.beyond.not_compared
    raise typer.Exit(ExitCode.NO if found.is_detected or incomplete else ExitCode.OK)


def report(drift: "Drift") -> Iterator[Block]:
    """Yield it for people."""
    comparison = drift.comparison
    yield look.verdict(
        *_verdict(drift),
        f"{counted(drift.objects, 'object')} compared with what "
        f"{counted(len(drift.applied), 'applied migration')} build{_s(drift)}.",
    )
    yield from differences.not_compared(comparison)
    yield from (look.note(note.message) for note in drift.notes)
    if drift.scratch_note:
        yield look.note(drift.scratch_note)
    if comparison.number:
        yield look.BLANK
        yield from differences.blocks(comparison.differences)
        yield from differences.beyond(comparison)
        yield look.BLANK
        yield from differences.remedy(comparison)
    yield from _nodes(drift)
    if not drift.applied and comparison.number:
        yield look.Verbatim("Was this database there before partman? See: partman adopt --help")


def _verdict(drift: "Drift") -> look.Span:
    number = drift.comparison.number + len(drift.nodes)
    if number:
        return counted(number, "difference"), look.BAD
    if drift.is_detected:
        return "no difference, but interrupted", look.WARNING
    if drift.comparison.beyond.not_compared:
        return "no difference in what was compared", look.WARNING
    return "no difference", look.GOOD


def _nodes(drift: "Drift") -> Iterator[Block]:
    """Yield what a node has otherwise than the coordinator."""
    if drift.nodes:
        yield look.BLANK
    for each in drift.nodes:
        yield look.Prose(
            (
                (f"{each.node}  {each.object}: {each.attribute}", look.BAD),
                (" differs from the coordinator's", look.PLAIN),
            ),
            hanging=4,
        )
        yield from (look.Verbatim(f"    missing  {line}") for line in each.expected)
        yield from (look.Verbatim(f"    extra    {line}") for line in each.found)
    if drift.nodes:
        yield look.said("By hand: correct them on the node, as a superuser.")


def _s(drift: "Drift") -> str:
    return "s" if len(drift.applied) == 1 else ""


def _json(drift: "Drift") -> str:
    facts = {
        "applied": [{"app": app, "migration": migration} for app, migration in drift.applied],
        "objects": drift.objects,
        "differences": differences.facts(drift.comparison.differences),
        **differences.beyond_facts(drift.comparison.beyond),
        **differences.remedy_facts(drift.comparison.remedy),
        **({"nodes": [asdict(each) for each in drift.nodes]} if drift.nodes else {}),
        "notes": [
            *({"kind": note.kind, "message": note.message} for note in drift.notes),
            *differences.scratch_facts(drift.scratch_note),
        ],
    }
    return json.dumps(facts, indent=2)
