"""``partman new``: writes migrations."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings

if TYPE_CHECKING:
    from partman.migration.autogenerate.generate import Generated


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
    app: Annotated[
        str | None,
        typer.Option(
            "--app",
            help="Write for this app only.  [default: all of the project]",
            show_default=False,
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Change types and names of columns at once: other sessions wait, and the running "
            "code fails.",
        ),
    ] = False,
    contract: Annotated[
        bool,
        typer.Option(
            "--contract",
            help="Write the second half of what was expanded: drop what is left for the old code.",
        ),
    ] = False,
    scratch: ScratchOption = Scratch.SERVER,
    as_json: Json = False,
) -> None:
    """Write the migration that the table classes ask for.

    It holds what Piccolo finds in their columns, and in SQL what their extras and those of the
    database say: indexes, constraints, policies, triggers, functions, grants. What would lock a
    table that is in use goes into an online migration of its own. It is tried on scratch
    databases (applied, reverted, re-applied) before it is kept. The database itself is not touched.

    A column of an existing table whose new type rewrites the table, or that is renamed, is changed
    in two halves, so that old and new code both work meanwhile: the second one is written later,
    by --contract. What cannot be changed so is refused by name; --in-place changes it at once.

    Each change goes to the app whose table classes ask for it. Apps that come with an installed
    package are left alone. A table class that is in no app's table_classes is named.

    Example: `partman new "partner tier"`
    Example: `partman new --contract "drop the old amounts"`
    """
    from partman.migration.autogenerate.generate import generate, generate_contract

    if not re.search(r"\w", name):
        raise typer.BadParameter("It needs a letter or a digit, for the file's name.")
    settings = scratch_settings(project_settings(), scratch)
    answer = auto_input.value if auto_input else None
    if contract:
        _refuse_beside_contract(app, answer, in_place=in_place)
        done = terminal.run(generate_contract(settings, name, report=_report))
        typer.echo(_as_json(done) if as_json else _contract_text(done))
        return
    written = terminal.run(
        generate(settings, name, app=app, auto_input=answer, report=_report, in_place=in_place)
    )
    typer.echo(_as_json(written) if as_json else _as_text(written))


def _refuse_beside_contract(app: str | None, answer: str | None, *, in_place: bool) -> None:
    if app is not None or answer is not None or in_place:
        raise typer.BadParameter(
            "it closes all open contracts, and nothing else: give only a name.",
            param_hint="'--contract'",
        )


def _report(line: str) -> None:
    typer.echo(line, err=True)


def _as_json(written: "Generated") -> str:
    files = [asdict(file) | {"path": _shown(file.path)} for file in written.files]
    facts = {
        "written": files,
        "expanded": [
            {
                "table": each.before.parent.name,
                "column": each.before.name,
                "type": each.before.type,
                "new_column": each.after.name,
                "new_type": each.after.type,
            }
            for each in written.expanded
        ],
        "left_out": written.left_out,
        "unregistered": written.unregistered,
    }
    return json.dumps(facts, indent=2)


def _contract_text(written: "Generated") -> str:
    if not written.files:
        return "Nothing to do. No contract is open."
    return "\n".join(_files(written))


def _as_text(written: "Generated") -> str:
    return "\n".join(
        [*_files(written), *_expanded(written), *_left_out(written), *_unregistered(written)]
    )


def _files(written: "Generated") -> Iterator[str]:
    if written.files:
        yield "Written:"
        for file in written.files:
            online = " (online)" if file.online else ""
            yield f"  {file.app}: {_shown(file.path)}{online}"
        yield "Read it, then run it: piccolo migrations forwards all"
    elif not written.left_out:
        yield "Nothing to do. The migrations build what the table classes say."
    else:
        yield "Nothing was written."


def _expanded(written: "Generated") -> Iterator[str]:
    """Say what to release when."""
    if not written.expanded:
        return
    yield ""
    yield "A change in two halves, for old and new code work between them:"
    for column in written.expanded:
        before, after = column.before, column.after
        name = f"{before.parent.name.removeprefix('public.')}.{before.name}"
        is_retyped = before.type != after.type
        what = [f"{before.type} becomes {after.type}"] if is_retyped else []
        what += [f"renamed to {after.name}"] if column.is_renamed else []
        yield f"  {name}: {', '.join(what)}"
    yield "1. Run this migration, then release the new code."
    yield "2. In a later release, when no old code runs any more, write the second half:"
    yield '   partman new --contract "its name"'


def _left_out(written: "Generated") -> Iterator[str]:
    for app in written.left_out:
        yield f"Left out: the migrations of app {app} do not build what its table classes say."


def _unregistered(written: "Generated") -> Iterator[str]:
    for name in written.unregistered:
        module = name.rpartition(".")[0]
        yield (
            f"Not seen: {name} is in no app's table_classes, so no migration builds its table. If "
            f'one should, name its module in the app: table_finder(["{module}"])'
        )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
