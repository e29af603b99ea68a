"""``partman rehearse``."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman import terminal
from partman.cli import look
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.cli.plan import plain
from partman.database.project_settings import project_settings
from partman.errors import ExitCode
from partman.progress import Progress
from partman.settings import Settings

if TYPE_CHECKING:
    from partman.rehearsal.copies import Wanted
    from partman.rehearsal.judge import FailOn
    from partman.rehearsal.model import Rehearsal

_MB = 1_000_000


class Format(StrEnum):
    """How a rehearsal is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def rehearse(
    on: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="PARTMAN_REHEARSE_ON",
            help="Rehearse on this database, which is changed: a restored backup. The variable "
            "keeps a password out of the list of processes.",
            show_default=False,
        ),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Restore this dump of pg_dump, of any format, and rehearse on that.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Copy only the rows of so many organizations, such as 5%.",
            show_default=False,
        ),
    ] = None,
    organization: Annotated[
        str | None,
        typer.Option(
            metavar="SUBDOMAIN",
            help="Copy only the rows of this organization, by a unique column or its ID.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        bool,
        typer.Option("--mask", help="Replace in the copy what table classes mark as personal."),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, help="Copy at most so many MB a second.", show_default="no limit"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Connections that copy at once.")] = 2,
    forwards_only: Annotated[
        bool,
        typer.Option("--forwards-only", help="Neither revert the migrations nor compare the rows."),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="VERDICT[>TIME]",
            help="End with exit code 1 from this verdict on, such as 'blocks-writes>1s'.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    as_format: Annotated[
        Format, typer.Option("--format", help="markdown: for a comment.")
    ] = Format.TEXT,
    scratch: ScratchOption = Scratch.SERVER,
) -> None:
    """Run the pending migrations on a copy with rows; measure what they would do.

    The copy is one that partman makes and drops: from one snapshot of the database, which is only
    read. Or a dump that it restores, or a database of yours. Each statement tells its time, whom
    its locks would have blocked and for how long, the rows that it read and wrote, WAL, growth on
    disk; each migration what data is lost. Then all are reverted and run again, and all rows
    compared.

    With a sample, times on all rows are estimated, and called so.

    The verdicts are those of `partman plan`: safe live, brief lock (at most 100 ms), blocks
    writes, blocks reads, loses data. Exit code 1 when one is as bad as `--fail-on` says, 7 when a
    migration fails.

    Example: `partman rehearse --fail-on 'blocks-writes>1s'`

    Example: `partman rehearse --sample 5% --mask --scratch embedded`
    """
    settings = project_settings()
    condition = _condition(fail_on)
    wanted = _wanted(on, dump, sample, organization, mask=mask, rate=rate, jobs=jobs)
    found = _made(settings, scratch_settings(settings, scratch), wanted, back=not forwards_only)
    if as_json or as_format is Format.JSON:
        typer.echo(json.dumps(plain(_facts(found)), indent=2))
    elif as_format is Format.MARKDOWN:
        from partman.cli.rehearse_review import markdown

        typer.echo(markdown(found), nl=False)
    else:
        from partman.cli.rehearse_report import report

        look.show(report(found))
    if found.failed:
        raise typer.Exit(ExitCode.MIGRATION)
    is_met = condition is not None and any(map(condition.is_met, found.migrations))
    raise typer.Exit(ExitCode.NO if is_met else ExitCode.OK)


def _condition(text: str | None) -> "FailOn | None":
    if text is None:
        return None
    from partman.rehearsal.judge import FailOn

    try:
        return FailOn.parsed(text)
    except ValueError as error:
        raise typer.BadParameter(f"--fail-on: {error}") from error


def _wanted(
    on: str | None,
    dump: Path | None,
    sample: str | None,
    organization: str | None,
    *,
    mask: bool,
    rate: float | None,
    jobs: int,
) -> "Wanted":
    from partman.rehearsal.copies import Wanted

    if on is not None and dump is not None:
        raise typer.BadParameter("--on and --dump name two databases: give one of them")
    if (on is not None or dump is not None) and (sample or organization or mask or rate):
        raise typer.BadParameter(
            "--sample, --organization, --mask and --rate are for a copy that partman makes: leave "
            "--on and --dump out"
        )
    if sample and organization:
        raise typer.BadParameter("--sample and --organization choose differently: give one of them")
    return Wanted(
        url=on,
        dump=dump,
        percent=_percent(sample) if sample is not None else None,
        tenant=organization,
        mask=mask,
        rate=rate * _MB if rate else None,
        jobs=jobs,
    )


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0
    if not 0 < percent <= 100:
        raise typer.BadParameter(f"--sample: {text!r} is not a percentage such as 5% or 0.5%")
    return percent


def _made(settings: Settings, scratch: Settings, wanted: "Wanted", *, back: bool) -> "Rehearsal":
    from partman.rehearsal.rehearse import rehearse as run

    with Progress("Looking at what is pending") as progress:
        return terminal.run(run(settings, scratch, wanted, progress.say, back=back))


def _facts(found: "Rehearsal") -> dict[str, Any]:
    facts = asdict(found) | {"level": found.level}
    for migration, each in zip(facts["migrations"], found.migrations, strict=True):
        migration["blocked_writes"] = each.blocked_writes()
        migration["blocked_reads"] = each.blocked_reads()
        for statement, of in zip(migration["statements"], each.statements, strict=True):
            for lock, taken in zip(statement["locks"], of.locks, strict=True):
                lock["blocks"] = taken.blocks
    return facts
