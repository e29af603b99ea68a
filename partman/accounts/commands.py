"""``partman admin``: accounts that operate the system."""

import json
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli import look
from partman.cli.confirmation import confirm
from partman.cli.options import Json
from partman.database.project_settings import project_settings
from partman.wording import counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Connection, Record

    from partman.accounts.console_accounts import Account

app = typer.Typer(
    help="Accounts that operate the system.", no_args_is_help=True, rich_markup_mode="markdown"
)

Email = Annotated[str, typer.Argument(help="The account's address.", show_default=False)]


@app.callback()
def admin() -> None:
    """Accounts that operate the system."""


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="The address to sign in with.", show_default=False)],
    organization: Annotated[
        str | None,
        typer.Option(
            help="The subdomain of the organization that the account administers.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create an account of the console.

    With an organization, the account is its admin, who sees only that organization. Without one it
    is a platform operator, who chooses an organization after signing in. The password is prompted
    for, or read from standard input if that is not a terminal.

    Example: `partman admin create ann@acme.example --organization acme`
    """

    async def run(password: str) -> "Account":
        from partman.accounts import console_accounts

        async with _connected() as connection:
            return await console_accounts.create(connection, email, password, organization)

    account = terminal.run(run(read_password()))
    may = (
        f"the admin of {account.organization}, and of no other organization"
        if account.organization
        else "a platform operator, who may choose any organization"
    )
    typer.echo(f"{account.email} may sign in to the console: {may}.")


@app.command("set-password")
def set_password(
    email: Email,
    organization: Annotated[
        str | None,
        typer.Option(
            help="The organization's subdomain, if the address has several accounts.",
            show_default=False,
        ),
    ] = None,
    of_console: Annotated[
        bool,
        typer.Option(
            "--console", help="Change an account of the console instead of one of the product."
        ),
    ] = False,
) -> None:
    """Set the password of an account.

    The admin of a new database has no usable password until you run this. An account of the console
    is signed out everywhere. The password is prompted for, or read from standard input if that is
    not a terminal; it is never an argument, which every user of the machine could read.

    Example: `partman admin set-password admin@partman.com`
    """
    if of_console and organization is not None:
        raise typer.BadParameter(
            "An address has only one account of the console: omit --organization."
        )
    password = read_password()
    if of_console:
        terminal.run(_set_password_of_console(email, password))
    else:
        terminal.run(_set_password(email, password, organization))


@app.command()
def disable(email: Email) -> None:
    """Disable an account of the console, and sign it out everywhere.

    Example: `partman admin disable ann@acme.example`
    """
    before = terminal.run(_set_active(email, active=False))
    typer.echo(f"{before.email} can no longer sign in to the console.{_signed_out(before)}")


@app.command()
def enable(email: Email) -> None:
    """Enable a disabled account of the console, with its previous password.

    Example: `partman admin enable ann@acme.example`
    """
    before = terminal.run(_set_active(email, active=True))
    typer.echo(f"{before.email} may sign in to the console.")


@app.command()
def delete(
    email: Email,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete an account of the console, and sign it out everywhere.

    An account of the product is a user of an organization, and is not deleted here. To keep the
    account and its password, disable it: `partman admin disable`.

    Example: `partman admin delete ann@acme.example`
    """
    if not yes:
        confirm(f"Delete the console's account {email}?", f"partman admin delete {email} --yes")
    deleted = terminal.run(_delete(email))
    typer.echo(f"{deleted.email} is deleted.{_signed_out(deleted)}")


@app.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List the accounts of the console.

    Example: `partman admin list`
    """

    async def run() -> "list[Account]":
        from partman.accounts import console_accounts

        async with _connected() as connection:
            return await console_accounts.every(connection)

    accounts = terminal.run(run())
    if as_json:
        typer.echo(_as_json(accounts))
    else:
        look.show([_as_block(accounts)])


def read_password() -> str:
    """Prompt for a password, or read it from standard input. Raises PasswordRefusedError."""
    from partman.accounts.common import PasswordRefusedError

    if sys.stdin is None:
        raise PasswordRefusedError("No password on standard input; nothing was changed.")
    if sys.stdin.isatty():
        password: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
        return password
    try:
        line = sys.stdin.readline()
        line.encode()  # the terminal may have let invalid text through
    except UnicodeError:
        raise PasswordRefusedError(
            "The password is not valid UTF-8; nothing was changed."
        ) from None
    return line.rstrip("\r\n")


@asynccontextmanager
async def _connected() -> "AsyncIterator[Connection[Record]]":
    from partman.database.connection import connected

    async with connected(project_settings(), "partman admin") as connection:
        yield connection


async def _set_password(email: str, password: str, organization: str | None) -> None:
    from partman.accounts import users

    async with _connected() as connection:
        account = await users.set_password(connection, email, password, organization)
    typer.echo(f"The password of {account.email} ({account.organization}) is set.")


async def _set_password_of_console(email: str, password: str) -> None:
    from partman.accounts import console_accounts

    async with _connected() as connection:
        before = await console_accounts.set_password(connection, email, password)
    typer.echo(f"The password of {before.email} (console) is set.{_signed_out(before)}")
    if not before.active:
        typer.echo(f"It is disabled. Enable it with: partman admin enable {before.email}")


async def _delete(email: str) -> "Account":
    from partman.accounts import console_accounts

    async with _connected() as connection:
        return await console_accounts.delete(connection, email)


async def _set_active(email: str, *, active: bool) -> "Account":
    from partman.accounts import console_accounts

    async with _connected() as connection:
        return await console_accounts.set_active(connection, email, active=active)


def _signed_out(before: "Account") -> str:
    if not before.sessions:
        return " It was signed in nowhere."
    return f" It was signed out everywhere: {counted(before.sessions, 'session')}."


def _as_json(accounts: "list[Account]") -> str:
    facts = [asdict(account) | {"operator": not account.organization} for account in accounts]
    return json.dumps({"accounts": facts}, default=str, indent=2)


def _as_block(accounts: "list[Account]") -> look.Block:
    if not accounts:
        return look.said("The console has no accounts. Create one with: partman admin create EMAIL")
    rows = [
        (
            account.email,
            account.organization or "(operator)",
            "active" if account.active else "disabled",
            f"{account.last_login:%Y-%m-%d %H:%M}" if account.last_login else "never",
            str(account.sessions),
        )
        for account in accounts
    ]
    header = ("address", "organization", "state", "last sign-in (UTC)", "sessions")
    return look.Table(header, rows)
