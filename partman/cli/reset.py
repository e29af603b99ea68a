"""``partman reset``: a new database, for development."""

import logging
from typing import Annotated

import typer

from partman import terminal
from partman.cli.confirmation import confirm
from partman.cli.fast_path import RETRIES
from partman.connection_url import describe
from partman.database.project_settings import project_settings
from partman.errors import OfferMissingError
from partman.settings import Settings

logger = logging.getLogger("partman.reset")

_ROWS = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
"""


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Reset without asking.")] = False,
    no_seeds: Annotated[
        bool, typer.Option("--no-seeds", help="Insert no development data.")
    ] = False,
) -> None:
    """Drop the database, create it again, migrate it and fill it: for development only.

    All rows are lost, and all sessions are ended. Asks once. What an administrator has given the
    database beside the migrations, such as settings and extensions, is gone too.

    Refuses unless PARTMAN_ENV is development, and the database is that of the embedded server or
    has a name with the word `dev` or `development`, such as `shop_dev`: as the server says it, not
    the URL.

    Example: `partman reset --yes`

    Example: `partman reset --no-seeds`
    """
    from partman.database.fresh import replace_database
    from partman.migration.runner.piccolo_commands import run_forwards_patiently

    settings = project_settings()
    name, rows = terminal.run(_what_is_lost(settings))
    if not yes:
        confirm(
            f"Drop the database {name} on {_where(settings)}, with about {rows:,} rows?",
            "partman reset --yes",
        )
    terminal.run(replace_database(settings))
    typer.echo(f"The database {name} is new. Migrating it.")
    terminal.run(run_forwards_patiently(RETRIES, logger.warning))
    if not no_seeds:
        _seed(settings)


async def _what_is_lost(settings: Settings) -> tuple[str, int]:
    from partman.database.connection import connected
    from partman.database.fresh import refuse_unless_development

    name = await refuse_unless_development(settings)
    async with connected(settings, "partman reset") as connection:
        return name, await connection.fetchval(_ROWS)


def _where(settings: Settings) -> str:
    if settings.database_url is None:
        return f"the embedded server in {settings.data_directory}"
    return describe(settings.database_url)


def _seed(settings: Settings) -> None:
    from partman.apps import offered

    def missing(error: OfferMissingError) -> None:
        typer.echo(f"Without this development data: {error}", err=True)

    for fill in offered("development_rows", missing).values():
        typer.echo(terminal.run(fill(settings)))
