"""``partman admin``: accounts that operate the system."""

import asyncio
import sys
from typing import Annotated

import typer

from partman.settings import Settings

app = typer.Typer(
    help="Accounts that operate the system.", no_args_is_help=True, rich_markup_mode="markdown"
)


@app.callback()
def admin() -> None:
    """Accounts that operate the system."""


@app.command("set-password")
def set_password(
    email: Annotated[str, typer.Argument(help="The account's address.", show_default=False)],
    organization: Annotated[
        str | None,
        typer.Option(
            help="The organization's subdomain, when the address has several accounts.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Set the password of an account.

    A new database's admin has no usable password until this was run. The password is asked for,
    or read from the standard input when that is no terminal; it is never an argument, where
    every user of the machine could read it.

    Example: `partman admin set-password admin@partman.com`
    """
    password = _read_password()
    asyncio.run(_set_password(email, password, organization))


def _read_password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")


async def _set_password(email: str, password: str, organization: str | None) -> None:
    from partman import accounts
    from partman.database.connection import connected

    async with connected(Settings.load(), "partman admin") as connection:
        account = await accounts.set_password(connection, email, password, organization)
    typer.echo(f"The password of {account.email} ({account.organization}) is set.")
