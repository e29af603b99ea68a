"""``partman sql``: a script for psql."""

from typing import Annotated

import typer

from partman import terminal
from partman.cli.options import Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings


def sql(
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ID",
            help="The version that the database has: the ID of a migration, or none.",
            show_default="what the ledger has",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="ID",
            help="The version that it is to have: the ID of a migration, or none.",
            show_default="the newest",
        ),
    ] = None,
    backwards: Annotated[
        bool, typer.Option("--backwards", help="Revert what is newer than --to.")
    ] = False,
    scratch: ScratchOption = Scratch.SERVER,
) -> None:
    """Write the migrations as a script, for psql on a database that partman may not connect to.

    The migrations are run on a scratch database, and the script has the statements that they
    have sent: in the same transactions, with the same timeouts and the migration lock, and with
    the rows of ledger and history. Steps of online migrations that cannot run in a transaction
    are outside of one. It refuses a database that is not at the version `--from`.

    Migrations that run Python functions cannot be written as SQL: they are named, and no script
    is written; nor is one for a distributed database. The script does not count what it loses, as
    a run does: see `partman plan`.

    Example: `partman sql > migrations.sql && psql -X -f migrations.sql "$DATABASE_URL"`

    Example: `partman sql --from none --scratch embedded`
    """
    from partman.migration.script.write import write_script

    if backwards and end is None:
        raise typer.BadParameter("--backwards needs --to: the version that the database is to have")
    settings = project_settings()
    where = scratch_settings(settings, scratch)
    typer.echo(
        terminal.run(write_script(settings, where, start=start, end=end, reverting=backwards)),
        nl=False,
    )
