"""``partman doctor``: what is wrong around the project, and what to type."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from partman import terminal
from partman.cli import look
from partman.cli.look import Block
from partman.cli.options import Json
from partman.database.project_settings import project_settings
from partman.errors import ExitCode
from partman.wording import counted

if TYPE_CHECKING:
    from partman.doctor import Finding

_STYLES = {"ok": look.GOOD, "note": look.WARNING, "wrong": look.BAD}


def doctor(as_json: Json = False) -> None:
    """Look for what is wrong around the project, and say what to do about it.

    The environment, versions, the free disk, the login, the clock, standby and pooler, the rights
    of the login, the tenancy's roles, the application's login. Only reads; starts the embedded
    server if that is in use.

    Exit code 1 when something is wrong. An invalid setting, or a project that cannot be imported,
    is told as by every command.

    Example: `partman doctor`

    Example: `partman doctor --json | jq '.findings[] | select(.state == "wrong")'`
    """
    from partman.doctor import examine

    found = terminal.run(examine(project_settings()))
    wrong = sum(finding.state == "wrong" for finding in found)
    if as_json:
        facts = {"wrong": wrong, "findings": [asdict(finding) for finding in found]}
        typer.echo(json.dumps(facts, indent=2))
    else:
        look.show(report(found))
    raise typer.Exit(ExitCode.NO if wrong else ExitCode.OK)


def report(found: "Sequence[Finding]") -> Iterator[Block]:
    """Yield it for people: what is wrong first."""
    counts = {
        state: sum(finding.state == state for finding in found) for state in ("wrong", "note")
    }
    notes = f", {counted(counts['note'], 'note')}" if counts["note"] else ""
    verdict = ("nothing is wrong", look.GOOD)
    if counts["wrong"]:
        verdict = (f"{counts['wrong']} wrong", look.BAD)
    yield look.verdict(*verdict, f"{counted(len(found), 'thing')} looked at{notes}.")
    yield look.BLANK
    order = list(_STYLES)
    for finding in sorted(found, key=lambda each: -order.index(each.state)):
        yield look.Prose(
            (
                (f"{finding.state.value:<5}  ", _STYLES[finding.state]),
                (f"{finding.subject:<11}  ", look.PLAIN),
                (finding.told, look.PLAIN),
            ),
            hanging=20,
        )
        if finding.remedy:
            yield look.Verbatim(f"{'':20}{finding.remedy}", look.STRONG)
