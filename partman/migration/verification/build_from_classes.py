"""Build the database that the table classes describe: all at once, or app by app.

The tables of all apps are created first, because foreign keys may point from one app to another and
back. Then come the extras, in Piccolo's order. A statement that fails because it needs a later one
is tried again after it.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import asyncpg
from piccolo.columns import ForeignKey
from piccolo.table import Table

from partman.apps import app_modules, partman_config
from partman.errors import BuildFailedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

TableName = tuple[str | None, str]
"""Schema, or None if the class names none; table."""


def name_of(table: type[Table]) -> TableName:
    """Return the schema and the table name of a table class."""
    return table._meta.schema, table._meta.tablename


def tables_by_app() -> dict[str, list[type[Table]]]:
    """Return the table classes by app, in Piccolo's order.

    A table that several apps register belongs to the first of them.
    """
    seen: set[TableName] = set()
    found: dict[str, list[type[Table]]] = {}
    for module in app_modules():
        own = {name_of(table): table for table in module.APP_CONFIG.table_classes}
        found[module.APP_CONFIG.app_name] = [own[name] for name in own if name not in seen]
        seen |= own.keys()
    return found


def app_of_table(name: str) -> str | None:
    """Return the app that declares a table, or None."""
    for app, tables in tables_by_app().items():
        if any(table._meta.tablename == name for table in tables):
            return app
    return None


def references(key: ForeignKey[Any]) -> type[Table]:
    """Return the table class that a foreign key refers to. Raises BuildFailedError without one."""
    try:
        return key._foreign_key_meta.resolved_references  # noqa: SLF001 -- Piccolo's only way
    except (ValueError, ImportError) as error:
        raise BuildFailedError(
            f"{key._meta.table.__name__}.{key._meta.name} refers to a table class that was not "
            f"found: {error}. Nothing was changed. Correct its LazyTableReference."
        ) from error


async def create(connection: "Connection[Record]") -> None:
    """Create the tables of all apps, with their extras. Raises BuildFailedError."""
    by_app = tables_by_app()
    builder = _Builder(connection)
    await builder.run(
        [
            *_tables([table for tables in by_app.values() for table in tables], set()),
            *(each for module in app_modules() for each in _extras(module, by_app)),
        ]
    )
    builder.finish()


async def create_app_by_app(connection: "Connection[Record]") -> AsyncIterator[str]:
    """Create the tables and extras of one app after the other; yield each app when it is done.

    A statement that needs a later app runs together with that app. Raises BuildFailedError.
    """
    by_app = tables_by_app()
    builder = _Builder(connection)
    created: set[TableName] = set()
    for module in app_modules():
        app = module.APP_CONFIG.app_name
        await builder.run([*_tables(by_app[app], created), *_extras(module, by_app)])
        yield app
    builder.finish()


class _Builder:
    """Runs statements, and runs those that failed again after later ones."""

    def __init__(self, connection: "Connection[Record]") -> None:
        self._connection = connection
        self._waiting: list[tuple[str, asyncpg.PostgresError]] = []

    async def run(self, statements: Iterable[str]) -> None:
        left = [*(statement for statement, _ in self._waiting), *statements]
        while left:
            self._waiting = await self._try(left)
            if len(self._waiting) == len(left):
                return
            left = [statement for statement, _ in self._waiting]
        self._waiting = []

    def finish(self) -> None:
        if self._waiting:
            statement, error = self._waiting[0]
            raise BuildFailedError(
                f"The table classes cannot be built: {error}. Nothing was changed. Correct the "
                f"class that declares: {statement}"
            ) from error

    async def _try(self, statements: Sequence[str]) -> list[tuple[str, asyncpg.PostgresError]]:
        failed = []
        for statement in statements:
            try:
                await self._connection.execute(statement)
            except asyncpg.PostgresError as error:
                failed.append((statement, error))
        return failed


def _extras(module: ModuleType, by_app: dict[str, list[type[Table]]]) -> Iterator[str]:
    yield from partman_config(module).database_extras
    for table in by_app[module.APP_CONFIG.app_name]:
        yield from getattr(table, "extras", ())


def _tables(tables: Sequence[type[Table]], created: set[TableName]) -> Iterator[str]:
    """Yield the statements that create the tables, then the keys to tables created later.

    ``created`` holds the tables that exist already; the new tables are added to it.
    """
    keys = []
    for table in tables:
        created.add(name_of(table))
        statements = list(table.create_table().ddl)
        for key in table._meta.foreign_key_columns:
            clause = _references_clause(key)
            if clause and name_of(references(key)) not in created:
                statements = [each.replace(clause, "", 1) for each in statements]
                keys.append(_add_foreign_key(table, key, clause))
        yield from statements
    yield from keys


def _references_clause(key: ForeignKey[Any]) -> str | None:
    """Return the REFERENCES clause of a key, or None if the key spans several columns."""
    references(key)
    _, found, after = key.ddl.partition(" REFERENCES ")
    return found + after.rpartition(" DEFAULT ")[0] if found else None


def _add_foreign_key(table: type[Table], key: ForeignKey[Any], clause: str) -> str:
    name = table._meta.get_formatted_tablename()
    return f'ALTER TABLE {name} ADD FOREIGN KEY ("{key._meta.db_column_name}"){clause}'
