"""Commands on whole tenants, which an app offers under the name that it gives to a tenant."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from partman import terminal
from partman.cli import look
from partman.cli.options import Json
from partman.errors import AnswerNeededError, TenantChangedError
from partman.progress import Progress
from partman.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from partman.operator import TenantsTable, TenantSummary
    from partman.operator.tenant_file import Header

    Tenants: TypeAlias = Callable[[], TenantsTable]


_NEW_FILE: Any = typer.Argument(help="A new file.", show_default=False)
_EXPORTED_FILE: Any = typer.Argument(help="A file that was exported.", show_default=False)


def tenant_commands(tenants: "Tenants", *, noun: str, name: str) -> typer.Typer:
    """Return ``list``, ``deactivate``, ``reactivate``, ``delete``, ``export`` and ``import``.

    ``tenants`` is called when a command runs, so that the help imports no tables. ``noun`` is the
    command's name and the word for a tenant, ``name`` the word for what names one. An app offers
    the result in its PARTMAN_CONFIG, and may add commands of its own.
    """
    app = typer.Typer(
        help=f"Whole {noun}s: create, list, deactivate, delete, export, import.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )

    @app.callback()
    def _group() -> None:
        pass

    words = _Words(noun, name)
    for functions in (_state_commands, _deletion, _file_commands):
        functions(app, tenants, words)
    return app


@dataclass(frozen=True)
class _Words:
    """How the app speaks of its tenants."""

    noun: str
    name: str

    def help(self, command: str, first_line: str, *rest: str, arguments: str = " acme") -> str:
        """Return the help of a command, with an example."""
        example = f"Example: `partman {self.noun} {command}{arguments}`"
        return "\n\n".join((first_line, *rest, example))

    @property
    def argument(self) -> Any:
        """The argument that names a tenant."""
        return typer.Argument(
            help=f"Its {self.name}.", metavar=self.name.upper(), show_default=False
        )


def _state_commands(app: typer.Typer, tenants: "Tenants", words: _Words) -> None:
    noun, which = words.noun, words.argument

    def list_all(as_json: Json = False) -> None:
        from partman.operator import list_tenants

        found = terminal.run(list_tenants(tenants()))
        if as_json:
            typer.echo(_as_json(found))
        else:
            look.show([_as_block(found, words)])

    def deactivate(which: str = which) -> None:
        changed = terminal.run(_switch(tenants(), which, active=False))
        typer.echo(f"{which} is deactivated." if changed else f"{which} was not active.")

    def reactivate(which: str = which) -> None:
        changed = terminal.run(_switch(tenants(), which, active=True))
        typer.echo(f"{which} is active again." if changed else f"{which} is active already.")

    first_line = f"List all {noun}s, also those that are not active."
    app.command("list", help=words.help("list", first_line, arguments=""))(list_all)
    kept = f"All its rows are kept. Nobody finds it by its {words.name} until it is reactivated."
    first_line = f"Deactivate one {noun}."
    app.command("deactivate", help=words.help("deactivate", first_line, kept))(deactivate)
    app.command("reactivate", help=words.help("reactivate", f"Reactivate one {noun}."))(reactivate)


def _deletion(app: typer.Typer, tenants: "Tenants", words: _Words) -> None:
    noun, which = words.noun, words.argument

    def delete(
        which: str = which,
        rows: Annotated[
            int | None,
            typer.Option(
                help="Delete without asking, if exactly this many rows go with it.",
                show_default=False,
            ),
        ] = None,
    ) -> None:
        counts = terminal.run(_delete(tenants(), which, rows, noun))
        typer.echo(f"The {noun} {which} is deleted, with {counts}.")

    asks = (
        "Shows how many rows go with it, and asks. It is refused if the number has changed in the "
        "meantime. There is no way back but a backup or an export."
    )
    first_line = f"Delete one {noun} with all of its rows."
    app.command("delete", help=words.help("delete", first_line, asks))(delete)


def _file_commands(app: typer.Typer, tenants: "Tenants", words: _Words) -> None:
    noun, which = words.noun, words.argument

    def export(
        which: str = which,
        file: Path = _NEW_FILE,
        without_secrets: Annotated[
            bool,
            typer.Option(
                "--without-secrets",
                help="Leave out hashes of passwords and other secret columns, as for the customer. "
                "Such a file cannot be imported.",
            ),
        ] = False,
    ) -> None:
        header = terminal.run(_export(tenants(), which, file, secrets=not without_secrets))
        tables = counted(len(header.tables), "table")
        typer.echo(f"{which}: {counted(header.total, 'row')} of {tables} exported to {file}.")

    def import_(
        file: Path = _EXPORTED_FILE,
    ) -> None:
        header = terminal.run(_import(tenants(), file))
        tables = counted(len(header.tables), "table")
        typer.echo(f"{header.tenant_name}: {counted(header.total, 'row')} of {tables} imported.")

    first_line = f"Export one {noun}: all of its rows into one file."
    secrets = (
        "All tables are read as of one moment. Without `--without-secrets`, the file has hashes of "
        "passwords. Only you can read it."
    )
    help_text = words.help("export", first_line, secrets, arguments=" acme acme.gz")
    app.command("export", help=help_text)(export)
    first_line = f"Import one {noun} from a file, with all keys."
    all_or_none = (
        "All of its rows are inserted, or none. It is refused if the file is not whole, if the "
        f"schema has another version, or if the {noun} exists."
    )
    help_text = words.help("import", first_line, all_or_none, arguments=" acme.gz")
    app.command("import", help=help_text)(import_)


async def _export(tenants: "TenantsTable", which: str, file: Path, *, secrets: bool) -> "Header":
    from partman.operator import export_tenant, find_tenant

    found = await find_tenant(tenants, which)
    with Progress(f"Exporting {which}", "row") as progress:
        return await export_tenant(
            tenants, found.id, file, secrets=secrets, progress=progress.advance
        )


async def _import(tenants: "TenantsTable", file: Path) -> "Header":
    from partman.operator import import_tenant

    with Progress(f"Importing {file}", "row") as progress:
        return await import_tenant(tenants, file, progress=progress.advance)


async def _switch(tenants: "TenantsTable", which: str, *, active: bool) -> bool:
    from partman.operator import find_tenant, set_active

    found = await find_tenant(tenants, which)
    return await set_active(tenants, found.id, active=active)


async def _delete(tenants: "TenantsTable", which: str, rows: int | None, noun: str) -> str:
    from partman.operator import count_rows, delete_tenant, find_tenant

    found = await find_tenant(tenants, which)
    counts = await count_rows(tenants, found.id)
    if rows is None:
        _confirm(which, str(counts), counts.total, noun)
    elif rows != counts.total:
        raise TenantChangedError(
            f"The {noun} {which} has {counts}, not {counted(rows, 'row')}. Nothing was deleted. "
            f"Run again with --rows {counts.total}, if all of them may go."
        )
    return str(await delete_tenant(tenants, found.id, seen=counts))


def _confirm(which: str, counts: str, total: int, noun: str) -> None:
    question = f"The {noun} {which} has {counts}."
    if sys.stdin is None or not sys.stdin.isatty():
        raise AnswerNeededError(
            f"{question} Nothing was deleted. To delete all of them, run again with --rows {total}."
        )
    answer = typer.prompt(f"{question} Type {which} to delete all of them")
    if answer != which:
        typer.echo("Nothing was deleted.")
        raise typer.Exit(1)


def _as_json(found: "list[TenantSummary]") -> str:
    return json.dumps({"tenants": [asdict(each) for each in found]}, default=str, indent=2)


def _as_block(found: "list[TenantSummary]", words: _Words) -> look.Block:
    if not found:
        return look.said(f"There are no {words.noun}s.")
    rows = [(each.name, "active" if each.active else "not active", str(each.id)) for each in found]
    return look.Table((words.name, "state", "ID"), rows)
