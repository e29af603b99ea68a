"""Build databases app by app, from the table classes and from the migrations.

In between, the catalogs are read: they tell which app has what.
"""

from typing import TYPE_CHECKING

from partman.apps import app_configs
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.database.connection import connected
from partman.database.engine import project_engine
from partman.database.extensions import create_extensions
from partman.database.scratch import scratch_database
from partman.migration.ledger.files import migration_files
from partman.migration.runner.engine import MigrationEngine
from partman.migration.runner.piccolo_commands import run_forwards_app_by_app
from partman.migration.verification import build_from_classes, python_defaults
from partman.migration.verification.rebuild import computed_in_python, on_scratch, prepare
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Stage = tuple[str, Catalog]
"""An app, and the catalog after this app and before the apps that follow."""


async def classes_app_by_app(settings: Settings) -> list[Stage]:
    """Build the table classes of one app after the other; return the catalog after each app.

    A statement that needs a later app runs together with that app. A tenancy's privileges on the
    whole database come first, as a stage of the app that has the tenants' table. Raises the errors
    of catalog_of_classes().
    """
    async with (
        scratch_database(settings) as scratch,
        connected(scratch, "partman: table classes") as connection,
    ):
        stages = []
        tenancy = await prepare(connection)
        if tenancy and (app := build_from_classes.app_of_table(tenancy.table)) is not None:
            stages.append((app, await read_catalog(connection)))
        built = build_from_classes.create_app_by_app(connection)
        return [*stages, *[(app, await read_catalog(connection)) async for app in built]]


async def replay_app_by_app(
    settings: Settings, reader: "Connection[Record]"
) -> tuple[list[Stage], Catalog]:
    """Apply all migrations on an empty scratch database, to which ``reader`` is connected.

    Return the catalog after each app that may have changed it, and of all. What an empty database
    has, the first app has.
    """
    apps = [app.app_name for app in app_configs()]
    migrated_apps = {file.app for file in migration_files()}
    found: list[Stage] = []
    if apps and apps[0] not in migrated_apps:
        await create_extensions(reader, project_engine(MigrationEngine).extensions)
        found.append((apps[0], await read_catalog(reader)))
    with on_scratch(settings):
        ran = run_forwards_app_by_app(each for each in apps if each in migrated_apps)
        found += [(app, await read_catalog(reader)) async for app in ran]
    whole = found[-1][1] if found else await read_catalog(reader)
    computed = await computed_in_python(settings, None)
    return found, await python_defaults.marked(reader, whole, computed)
