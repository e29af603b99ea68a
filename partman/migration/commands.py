"""Running migrations from code, as ``piccolo migrations`` runs them from the shell."""

from partman.errors import MigrationFailedError


async def run_forwards(app: str = "all", migration_id: str = "all") -> None:
    """Run pending migrations. Raises PartmanError when one fails."""
    from piccolo.apps.migrations.commands.forwards import run_forwards

    result = await run_forwards(app_name=app, migration_id=migration_id)
    if not result.success:
        raise MigrationFailedError(result.message or "Piccolo did not run the migrations.")


async def run_backwards(app: str, migration_id: str = "1") -> None:
    """Undo migrations down to, and including, one. Raises PartmanError when one fails."""
    from piccolo.apps.migrations.commands.backwards import run_backwards

    result = await run_backwards(app_name=app, migration_id=migration_id, auto_agree=True)
    if not result.success:
        raise MigrationFailedError(result.message or "Piccolo did not reverse the migrations.")
