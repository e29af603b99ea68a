"""Build scratch databases from the migrations and from the table classes, and read them.

The results can be compared with each other and with a live database. See catalog/compare.py.
"""

import contextlib
import io
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import asyncpg
from piccolo.apps.migrations.tables import Migration as LedgerTable

from partman.apps import table_classes
from partman.catalog.model import Catalog
from partman.catalog.read import KnownCatalogs, read_catalog
from partman.database import bookkeeping
from partman.database.connection import connected
from partman.database.engine import project_engine
from partman.database.extensions import create_extensions
from partman.database.scratch import scratch_database
from partman.errors import BuildFailedError, MigrationFailedError, PermissionDeniedError
from partman.isolation import Tenancy, database_extras
from partman.migration.ledger.files import MigrationFile, import_migrations, migration_files
from partman.migration.ledger.identity import MigrationKey
from partman.migration.runner.engine import MigrationEngine
from partman.migration.runner.piccolo_commands import (
    run_backwards,
    run_backwards_app_by_app,
    run_forwards,
)
from partman.migration.verification import build_from_classes, python_defaults
from partman.retry import Patience
from partman.settings import POLICIES, Environment, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from piccolo.query import Query

_PATIENCE_WITH_OTHERS = 30.0
"""Seconds to wait for other sessions that change the roles, which belong to the whole cluster."""


@dataclass(frozen=True)
class Boundary:
    """The catalog after a migration and before the next one."""

    migration: MigrationFile | None
    """None before the first migration."""
    catalog: Catalog
    grants: tuple[str, ...]
    """Statements: the privileges on the bookkeeping tables, which the catalog leaves out."""
    may_ask_others: bool
    """Whether the migrations could have built what another server, or a file, said."""


@dataclass(frozen=True)
class BuiltDatabase:
    """A scratch database that was built."""

    settings: Settings
    """They connect to it."""
    connection: "Connection[Record]"
    """The one over which its catalog was read."""
    catalog: Catalog


async def catalog_of_migrations(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Catalog:
    """Return the catalog that all migrations build, or ``only`` those.

    ``settings`` name the server. Raises PartmanError, as scratch_database() and a run do.
    """
    async with migrated(settings, only) as built:
        return built.catalog


@contextlib.asynccontextmanager
async def migrated(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> AsyncIterator[BuiltDatabase]:
    """Yield a scratch database that all migrations have built, or ``only`` those.

    Raises what catalog_of_migrations() raises.
    """
    async with scratch_database(settings) as scratch:
        await replay(scratch, only)
        async with connected(scratch, "partman: catalog") as connection:
            catalog = await read_migrated_over(connection, scratch, only)
            yield BuiltDatabase(scratch, connection, catalog)


async def catalog_of_classes(settings: Settings) -> Catalog:
    """Return the catalog of the table classes, their extras and the tenancy's roles.

    Raises TableDeclarationError, PermissionDeniedError, BuildFailedError, and the errors of
    scratch_database().
    """
    async with built_from_classes(settings) as built:
        return built.catalog


@contextlib.asynccontextmanager
async def built_from_classes(settings: Settings) -> AsyncIterator[BuiltDatabase]:
    """Yield a scratch database that was built from the table classes.

    Raises what catalog_of_classes() raises.
    """
    async with (
        scratch_database(settings) as scratch,
        connected(scratch, "partman: table classes") as connection,
    ):
        await build_classes(connection)
        yield BuiltDatabase(scratch, connection, await read_of_classes(connection))


async def build_classes(connection: "Connection[Record]") -> None:
    """Build the table classes on an empty scratch database.

    Raises TableDeclarationError, PermissionDeniedError, BuildFailedError.
    """
    table_classes()  # raises if a class does not fit the tenancy
    await prepare(connection)
    await build_from_classes.create(connection)


async def boundaries(
    settings: Settings,
    report: Callable[[MigrationFile], None] = lambda file: None,  # noqa: ARG005
    only: Sequence[MigrationFile] | None = None,
    look: Callable[[Boundary, Settings], Awaitable[None]] | None = None,
) -> list[Boundary]:
    """Return the catalogs before the first migration and after each, from one scratch database.

    ``only`` names the migrations to run, in this order; by default all are run. ``report`` is
    called before each of them, and ``look`` at each boundary with its database. Raises
    PartmanError, as scratch_database() and a run do.
    """
    async with (
        scratch_database(settings) as scratch,
        # It keeps its plans: they read PostgreSQL's catalogs, which no migration changes.
        connected(scratch, "partman: catalog") as reader,
    ):
        await install_extensions(scratch)
        found = [await _boundary(reader, scratch, [])]
        files = migration_files() if only is None else only
        if only is not None:
            # Piccolo would also run the older migrations of the app.
            await _take_for_applied(reader, migration_files())
        for number, file in enumerate(files, 1):
            report(file)
            if only is not None:
                await _take_for_pending(reader, [file])
            await forwards(scratch, file)
            found.append(await _boundary(reader, scratch, files[:number]))
            if look is not None:
                await look(found[-1], scratch)
    return found


async def _take_for_applied(
    connection: "Connection[Record]", files: Sequence[MigrationFile]
) -> None:
    for statement in LedgerTable.create_table(if_not_exists=True).ddl:
        await connection.execute(statement)
    if files:
        rows = (LedgerTable(name=file.id, app_name=file.app) for file in files)
        await _send(connection, LedgerTable.insert(*rows))


async def _take_for_pending(
    connection: "Connection[Record]", files: Sequence[MigrationFile]
) -> None:
    for app, of_app in itertools.groupby(files, key=lambda file: file.app):
        names = LedgerTable.name.is_in([file.id for file in of_app])
        await _send(connection, LedgerTable.delete().where(LedgerTable.app_name == app, names))


async def _send(connection: "Connection[Record]", query: "Query[Any, Any]") -> None:
    """Send a query of Piccolo, which would open a connection for it."""
    for querystring in query.querystrings:
        text, values = querystring.compile_string()
        await connection.execute(text, *values)


async def install_extensions(settings: Settings) -> None:
    """Create the engine's extensions, as every run does: no migration creates or drops them.

    Raises UnsupportedServerError.
    """
    if extensions := project_engine(MigrationEngine).extensions:
        async with connected(settings, "partman: extensions") as connection:
            await create_extensions(connection, extensions)


async def forwards(settings: Settings, file: MigrationFile) -> None:
    """Apply the next migration on a scratch database; print nothing."""
    with on_scratch(settings):
        await run_forwards(file.app, file.id)


async def backwards(settings: Settings, file: MigrationFile) -> None:
    """Revert the last migration on a scratch database; print nothing."""
    with on_scratch(settings):
        await run_backwards(file.app, file.id)


async def all_backwards(settings: Settings, files: Sequence[MigrationKey]) -> None:
    """Revert the last migrations, which may be of several apps, in one run; print nothing."""
    oldest = [next(iter(of_app)) for _, of_app in itertools.groupby(files, lambda file: file.app)]
    with on_scratch(settings):
        await run_backwards_app_by_app(reversed(oldest))


async def replay(settings: Settings, only: Collection[MigrationKey] | None = None) -> None:
    """Apply all migrations, or ``only`` those, on a scratch database; print nothing.

    The others are pending there.
    """
    skipped = [] if only is None else [each for each in migration_files() if each.key not in only]
    if skipped:
        async with connected(settings, "partman: ledger") as connection:
            await _take_for_applied(connection, skipped)
    with on_scratch(settings):
        await run_forwards()
    if skipped:
        async with connected(settings, "partman: ledger") as connection:
            await _take_for_pending(connection, skipped)


def for_a_trial(settings: Settings) -> Settings:
    """Return settings that allow migrations everything, for a scratch database."""
    return replace(
        settings,
        environment=Environment.TEST,
        policy=replace(POLICIES[Environment.TEST], data_loss=True, counts_losses=False),
    )


@contextlib.contextmanager
def working_on(settings: Settings) -> Iterator[None]:
    """Let Piccolo, its commands and its tables work on another database."""
    with project_engine(MigrationEngine).working_on(settings):
        yield


@contextlib.contextmanager
def on_scratch(settings: Settings) -> Iterator[None]:
    """Run migrations on a scratch database; say in their errors that it was a scratch database."""
    try:
        with working_on(for_a_trial(settings)), quietly():
            import_migrations()  # one that cannot be imported fails in no particular database
            yield
    except MigrationFailedError as error:
        raise BuildFailedError(f"On a scratch database: {error}") from error


async def prepare(connection: "Connection[Record]") -> Tenancy | None:
    """Create what table classes require; return the project's tenancy, or None.

    Raises the errors of create_extensions() and prepare_database().
    """
    engine = project_engine(MigrationEngine)
    await create_extensions(connection, engine.extensions)
    if engine.tenancy is not None:
        await prepare_database(connection, engine.tenancy)
    return engine.tenancy


async def prepare_database(connection: "Connection[Record]", tenancy: Tenancy) -> None:
    """Create a tenancy's missing roles, and set the privileges on the whole database.

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


# Foreign data wrappers ask other servers, as in IMPORT FOREIGN SCHEMA; dblink has one, too.
# Untrusted languages may read anything. PostgreSQL's own languages have the numbers below.
_MAY_ASK_OTHERS = """
SELECT EXISTS (SELECT FROM pg_foreign_data_wrapper)
    OR EXISTS (SELECT FROM pg_language WHERE NOT lanpltrusted AND oid >= 16384)
"""


async def may_ask_others(connection: "Connection[Record]") -> bool:
    """Whether the migrations could have built what another server, or a file, said."""
    found: bool = await connection.fetchval(_MAY_ASK_OTHERS)
    return found


async def _boundary(
    reader: "Connection[Record]", settings: Settings, files: Sequence[MigrationFile]
) -> Boundary:
    catalog = await read_migrated_over(reader, settings, {file.key for file in files})
    grants = tuple(row[0] for row in await reader.fetch(_BOOKKEEPING_GRANTS))
    return Boundary(files[-1] if files else None, catalog, grants, await may_ask_others(reader))


async def read_migrated(
    settings: Settings, only: Collection[MigrationKey] | None = None
) -> Catalog:
    """Return the catalog of a scratch database on which these migrations were run."""
    async with connected(settings, "partman: catalog") as connection:
        return await read_migrated_over(connection, settings, only)


async def read_migrated_over(
    connection: "Connection[Record]",
    settings: Settings,
    only: Collection[MigrationKey] | None = None,
    known: KnownCatalogs | None = None,
) -> Catalog:
    """As read_migrated(), over a connection to that database: the first read takes longest."""
    columns = await computed_in_python(settings, only)
    catalog = await read_catalog(connection, known=known)
    return await python_defaults.marked(connection, catalog, columns)


async def computed_in_python(
    settings: Settings, only: Collection[MigrationKey] | None
) -> list[python_defaults.ColumnName]:
    """Return the columns with a default of Python's after all migrations, or ``only`` those."""
    with on_scratch(settings):
        return await python_defaults.of_migrations(only)


async def read_of_classes(connection: "Connection[Record]") -> Catalog:
    """Return the catalog of a scratch database that was built from the table classes."""
    return await python_defaults.marked(
        connection, await read_catalog(connection), python_defaults.of_classes()
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress the output of Piccolo and of partman's log while a scratch database is used."""
    logger = logging.getLogger("partman.run")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
