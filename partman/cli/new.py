"""``partman new``: writes migrations."""

import asyncio
import json
import re
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings

if TYPE_CHECKING:
    from partman.migration.autogenerate.generate import File


class Answer(StrEnum):
    """What to answer to Piccolo's questions."""

    YES = "y"
    NO = "n"


def new(
    name: Annotated[str, typer.Argument(help="What it does, in a few words.", show_default=False)],
    auto_input: Annotated[
        Answer | None,
        typer.Option(
            "--auto_input",
            help="The answer to all that Piccolo asks: whether it was renamed.",
            show_default=False,
        ),
    ] = None,
    scratch: ScratchOption = Scratch.SERVER,
    as_json: Json = False,
) -> None:
    """Write the migration that the table classes ask for.

    It holds what Piccolo finds in their columns, and in SQL what their extras and those of the
    database say: indexes, constraints, policies, triggers, functions, grants. What would lock a
    table that is in use goes into an online migration of its own. It is tried on scratch
    databases, there, back and there again, before it is kept. The database itself is not touched.

    Example: `partman new "partner tier"`
    """
    from partman.migration.autogenerate.generate import generate

    if not re.search(r"\w", name):
        raise typer.BadParameter("It needs a letter or a digit, for the file's name.")
    settings = scratch_settings(project_settings(), scratch)
    answer = auto_input.value if auto_input else None
    written = asyncio.run(generate(settings, name, auto_input=answer, report=_report))
    typer.echo(_as_json(written) if as_json else _as_text(written))


def _report(line: str) -> None:
    typer.echo(line, err=True)


def _as_json(written: "list[File]") -> str:
    facts = [asdict(file) | {"path": _shown(file.path)} for file in written]
    return json.dumps({"written": facts}, indent=2)


def _as_text(written: "list[File]") -> str:
    if not written:
        return "Nothing to do. The migrations build what the table classes say."
    paths = [f"  {_shown(file.path)}{' (online)' if file.online else ''}" for file in written]
    return "\n".join(["Written:", *paths, "Read it, then run it: piccolo migrations forwards all"])


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
