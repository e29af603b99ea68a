"""``partman organization``: work on whole organizations."""

from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.accounts.commands import read_password
from partman.cli.tenant_commands import tenant_commands

if TYPE_CHECKING:
    from partman.operator import TenantsTable


def _organizations() -> "TenantsTable":
    from partman.organizations.sign_up import ORGANIZATIONS

    return ORGANIZATIONS


app = tenant_commands(_organizations, noun="organization", name="subdomain")


@app.command()
def create(
    subdomain: Annotated[str, typer.Argument(help="A label of a host name.", show_default=False)],
    name: Annotated[str, typer.Option(help="The organization's name.", show_default=False)],
    email: Annotated[str, typer.Option(help="The first user's address.", show_default=False)],
    first_name: Annotated[str, typer.Option(help="The first user's name.", show_default=False)],
    last_name: Annotated[str, typer.Option(help="The first user's name.", show_default=False)],
) -> None:
    """Create an organization with its first user, an admin.

    The password is prompted for, or read from standard input if that is not a terminal.

    Example: `partman organization create acme --name Acme --email ann@acme.example
    --first-name Ann --last-name Lee`
    """
    password = read_password()

    async def run() -> None:
        from partman.organizations import create_organization

        await create_organization(
            subdomain=subdomain,
            name=name,
            email=email,
            password=password,
            first_name=first_name,
            last_name=last_name,
        )

    terminal.run(run())
    typer.echo(f"The organization {subdomain} is created, with its admin {email}.")
