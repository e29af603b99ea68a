"""``partman resolve``: record what was done by hand."""

from typing import Annotated

import typer

from partman import terminal
from partman.database.project_settings import project_settings
from partman.wording import counted


def resolve(
    applied: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Record it as applied.", show_default=False),
    ] = None,
    rolled_back: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Record it as rolled back.", show_default=False),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(help="The app, if several have this ID.", show_default=False),
    ] = None,
) -> None:
    """Record a migration as applied or as rolled back, without running it.

    For a database that was repaired by hand: an online migration that was finished or undone with
    psql, or a ledger that was restored from elsewhere. The ledger, the records of steps and the
    history, which says that it was recorded by hand, change in one transaction, under the
    migration lock. Nothing is asked. The beginning of an ID will do, if no other begins so.

    Compare the database afterwards: `partman drift`. To prove it beforehand: `partman adopt`.

    Example: `partman resolve --applied 2026-11-22T17:25:00:000000`

    Example: `partman resolve --rolled-back 2026-11-22T17:25:00:000000`
    """
    from partman.migration.runner.resolve import resolve as record

    named = [each for each in (applied, rolled_back) if each is not None]
    if len(named) != 1:
        raise typer.BadParameter("Name one migration: with --applied or with --rolled-back")
    done = terminal.run(
        record(project_settings(), named[0], is_applied=applied is not None, app=app)
    )
    state = "applied" if done.is_applied else "rolled back"
    steps = (
        f" {counted(done.forgotten_steps, 'record')} of its steps removed."
        if done.forgotten_steps
        else ""
    )
    typer.echo(f"{done.migration.id} of {done.migration.app} is recorded as {state}.{steps}")
    typer.echo("Nothing of it was run. Compare the database: partman drift")
