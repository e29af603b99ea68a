"""The database of a test, and the two roles that work on it: the application's and the owner."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from piccolo.engine.postgres import PostgresTransaction
from piccolo.table import Table

from partman.apps import table_classes
from partman.database.connection import connected
from partman.engine import PartmanEngine
from partman.errors import NoTenancyError
from partman.settings import Settings
from partman.testing.shapes import TableShape


class OwnerTransaction(PostgresTransaction):
    """What Piccolo's queries use in an ``as_owner()`` block."""

    def __init__(self, engine: PartmanEngine, connection: Any) -> None:
        super().__init__(engine)
        self._parent = None  # also inside of a tenant's block
        self.connection = connection


@dataclass
class MigratedDatabase:
    """A database that all migrations have built, of one test alone."""

    settings: Settings = field(repr=False)
    """They connect to it as the owner."""
    engine: PartmanEngine
    """The project's. It works on this database for the duration of the test."""
    owner_connection: Callable[[], AbstractAsyncContextManager[Any]]
    shapes: dict[type[Table], TableShape] = field(repr=False)
    """What is known of the tables; the same in all databases of a session."""
    app_role: str | None = None
    """The role as which the application's connections start; None: as the login itself."""

    @property
    def url(self) -> str:
        """The URL with which the owner connects."""
        assert self.settings.database_url is not None
        return self.settings.database_url

    @asynccontextmanager
    async def as_owner(self) -> AsyncIterator[OwnerTransaction]:
        """Let Piccolo's queries of a block work as the owner: on the rows of all tenants.

        The block is a transaction of its own, also inside of ``tenant()``.
        """
        async with self.owner_connection() as connection, connection.transaction():
            token = self.engine.current_transaction.set(
                transaction := OwnerTransaction(self.engine, connection)
            )
            try:
                yield transaction
            finally:
                self.engine.current_transaction.reset(token)

    def tenants_table(self) -> type[Table]:
        """Return the class of the tenants. Raises NoTenancyError, ProjectError."""
        tenancy = self.engine.needed_tenancy
        for table in table_classes():
            if table._meta.tablename == tenancy.table:
                return table
        raise NoTenancyError(
            f"No app has registered a class for the table {tenancy.table} of the tenancy. Nothing "
            "was done. Add it to the AppConfig in the app's piccolo_app.py."
        )


def connects_as_owner(settings: Settings) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Return what opens a connection of the owner for the duration of a block."""
    return lambda: connected(settings, "partman: tests, as the owner")
