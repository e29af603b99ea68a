"""Databases built from nothing: as the migrations say, and as the table classes say.

Both are made on scratch databases and read, so that they can be compared with each other and
against a live database. See catalog/compare.py.
"""

import contextlib
import io
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg
from piccolo.apps.migrations.tables import Migration as LedgerTable

from partman.apps import app_configs, table_classes
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.database import bookkeeping
from partman.database.connection import connected
from partman.database.engine import project_engine
from partman.database.extensions import create_extensions
from partman.database.scratch import scratch_database
from partman.errors import BuildFailedError, MigrationFailedError, PermissionDeniedError
from partman.isolation import Tenancy, database_extras
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.engine import MigrationEngine
from partman.migration.runner.piccolo_commands import run_backwards, run_forwards
from partman.migration.verification import build_from_classes, python_defaults
from partman.retry import Patience
from partman.settings import POLICIES, Environment, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PATIENCE_WITH_OTHERS = 30.0
"""Seconds that others may be at work on the roles, which are the cluster's."""


Stage = tuple[str, Catalog]
"""An app, and what there is when it is done, and none of those after it."""


@dataclass(frozen=True)
class Boundary:
    """What there is after a migration, and before the next one."""

    migration: MigrationFile | None
    """None: before the first."""
    catalog: Catalog
    grants: tuple[str, ...]
    """Statements: what may be done with the bookkeeping, which is no part of the catalog."""


async def catalog_of_migrations(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Catalog:
    """Return what the migrations build: all of them, or those named.

    ``settings`` say on which server. Raises PartmanError, as scratch_database() and a run do.
    """
    async with scratch_database(settings) as scratch:
        await replay(scratch, only)
        return await read_migrated(scratch, only)


async def catalog_of_classes(settings: Settings) -> Catalog:
    """Return what the table classes and their extras build, and the tenancy's roles and rights.

    Raises TableDeclarationError, PermissionDeniedError, BuildFailedError, and what
    scratch_database() raises.
    """
    async with (
        scratch_database(settings) as scratch,
        connected(scratch, "partman: table classes") as connection,
    ):
        table_classes()  # it refuses those that do not fit the tenancy
        await _prepare(connection)
        await build_from_classes.create(connection)
        return await read_of_classes(connection)


async def classes_app_by_app(settings: Settings) -> list[Stage]:
    """Build the table classes of one app after the other; return what there is after each.

    What needs something of a later app comes with that one. A tenancy's rights on the whole
    database come first, as a stage of the app that has the tenants' table. Raises as
    catalog_of_classes() does.
    """
    async with (
        scratch_database(settings) as scratch,
        connected(scratch, "partman: table classes") as connection,
    ):
        stages = []
        tenancy = await _prepare(connection)
        if tenancy and (app := build_from_classes.app_of_table(tenancy.table)) is not None:
            stages.append((app, await read_catalog(connection)))
        built = build_from_classes.create_app_by_app(connection)
        return [*stages, *[(app, await read_catalog(connection)) async for app in built]]


async def boundaries(
    settings: Settings,
    report: Callable[[MigrationFile], None] = lambda file: None,  # noqa: ARG005
    only: Sequence[MigrationFile] | None = None,
) -> list[Boundary]:
    """Return what there is before the first migration, and after each: of one scratch database.

    ``only`` names the migrations to run, in this order; without it they are all. ``report`` is told
    of each before it is run. Raises PartmanError, as scratch_database() and a run do.
    """
    async with scratch_database(settings) as scratch:
        await install_extensions(scratch)
        found = [await _boundary(scratch, [])]
        files = migration_files() if only is None else only
        if only is not None:
            # Piccolo would also run the older ones of the app.
            await _take_for_applied(scratch, migration_files())
        for number, file in enumerate(files, 1):
            report(file)
            if only is not None:
                await _take_for_pending(scratch, file)
            await forwards(scratch, file)
            found.append(await _boundary(scratch, files[:number]))
    return found


async def _take_for_applied(settings: Settings, files: Sequence[MigrationFile]) -> None:
    with _on_scratch(settings):
        await LedgerTable.create_table(if_not_exists=True)
        if files:
            await LedgerTable.insert(
                *(LedgerTable(name=file.id, app_name=file.app) for file in files)
            )


async def _take_for_pending(settings: Settings, file: MigrationFile) -> None:
    with _on_scratch(settings):
        await LedgerTable.delete().where(
            LedgerTable.name == file.id, LedgerTable.app_name == file.app
        )


async def install_extensions(settings: Settings) -> None:
    """Create the engine's extensions, as every run does: no migration makes them, or drops them.

    Raises UnsupportedServerError.
    """
    if extensions := project_engine(MigrationEngine).extensions:
        async with connected(settings, "partman: extensions") as connection:
            await create_extensions(connection, extensions)


async def forwards(settings: Settings, file: MigrationFile) -> None:
    """Run the next migration on a scratch database; print nothing."""
    with _on_scratch(settings):
        await run_forwards(file.app, file.id)


async def backwards(settings: Settings, file: MigrationFile) -> None:
    """Undo the last migration on a scratch database; print nothing."""
    with _on_scratch(settings):
        await run_backwards(file.app, file.id)


async def replay(settings: Settings, only: Collection[MigrationKey] | None = None) -> None:
    """Run migrations, all or those named, on a scratch database; print nothing."""
    skipped = [file for file in migration_files() if only is not None and file.key not in only]
    await _take_for_applied(settings, skipped)
    with _on_scratch(settings):
        await run_forwards()


async def replay_app_by_app(settings: Settings) -> list[Stage]:
    """Run all migrations on a scratch database; return what there is after each app's."""
    found = []
    for app in app_configs():
        with _on_scratch(settings):
            await run_forwards(app.app_name)
        async with connected(settings, "partman: catalog") as connection:
            found.append((app.app_name, await read_catalog(connection)))
    return found


def for_a_trial(settings: Settings) -> Settings:
    """Return settings with which migrations may do on a scratch database what they like."""
    return replace(
        settings,
        environment=Environment.TEST,
        policy=replace(POLICIES[Environment.TEST], data_loss=True),
    )


@contextlib.contextmanager
def working_on(settings: Settings) -> Iterator[None]:
    """Let Piccolo, its commands and its tables work on another database."""
    with project_engine(MigrationEngine).working_on(settings):
        yield


@contextlib.contextmanager
def _on_scratch(settings: Settings) -> Iterator[None]:
    """Let migrations run on a scratch database, and say of those that fail where it was."""
    try:
        with working_on(for_a_trial(settings)), quietly():
            yield
    except MigrationFailedError as error:
        raise BuildFailedError(f"On a scratch database: {error}") from error


async def _prepare(connection: "Connection[Record]") -> Tenancy | None:
    """Create what table classes need before them; return the project's tenancy, if it has one.

    Raises what create_extensions() and prepare_database() do.
    """
    engine = project_engine(MigrationEngine)
    await create_extensions(connection, engine.extensions)
    if engine.tenancy is not None:
        await prepare_database(connection, engine.tenancy)
    return engine.tenancy


async def prepare_database(connection: "Connection[Record]", tenancy: Tenancy) -> None:
    """Create a tenancy's roles where they are missing, and set the rights on the whole database.

    Raises PermissionDeniedError with the statements for an administrator.
    """
    patience = Patience(_PATIENCE_WITH_OTHERS, first=0.05, longest=1)
    for statement in database_extras(tenancy):
        while True:
            try:
                await connection.execute(statement)
            except asyncpg.LockNotAvailableError:
                if not await patience.pause():
                    raise
            except asyncpg.InsufficientPrivilegeError as error:
                raise PermissionDeniedError(
                    f"On a scratch database: {error}. Nothing was changed. {error.hint}."
                ) from error
            else:
                break


_BOOKKEEPING_GRANTS = f"""
SELECT format('GRANT %s ON %I TO %s', acl.privilege_type, relname,
        CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) acl
WHERE acl.grantee <> relowner AND pg_class.oid IN ({
    ", ".join(f"to_regclass('{name}')" for name in bookkeeping.TABLES)
})
ORDER BY 1
"""


async def _boundary(settings: Settings, files: Sequence[MigrationFile]) -> Boundary:
    catalog = await read_migrated(settings, {file.key for file in files})
    async with connected(settings, "partman: catalog") as connection:
        grants = tuple(row[0] for row in await connection.fetch(_BOOKKEEPING_GRANTS))
    return Boundary(files[-1] if files else None, catalog, grants)


async def read_migrated(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Catalog:
    """Return what a scratch database contains on which these migrations were run."""
    with _on_scratch(settings):
        columns = await python_defaults.of_migrations(only)
    async with connected(settings, "partman: catalog") as connection:
        return await python_defaults.marked(connection, await read_catalog(connection), columns)


async def read_of_classes(connection: "Connection[Record]") -> Catalog:
    """Return what a scratch database contains that was built from the table classes."""
    return await python_defaults.marked(
        connection, await read_catalog(connection), python_defaults.of_classes()
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep Piccolo and our own log from telling of what happens on a scratch database."""
    logger = logging.getLogger("partman.run")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
