"""The Piccolo engine of the project."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from piccolo.engine.postgres import AsyncBatch, PostgresEngine, PostgresTransaction

from partman.database.array_types import learn_array_types
from partman.database.connection import connect, database_url, session_settings
from partman.database.tenant_connection import TenantConnection
from partman.errors import PartmanError
from partman.logs import configure_logging
from partman.migration.caller import Command, calling_command
from partman.migration.run import MigrationRun
from partman.migration.stand_ins import RunTransaction
from partman.piccolo_cli import expect_an_end_from_outside, in_piccolo_command, presented
from partman.settings import Pooling, Settings
from partman.tenant_transaction import TenantBatch, TenantTransaction

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from piccolo.query.base import Query
    from piccolo.querystring import QueryString

APPLICATION_NAME = "partman"

_current_run: ContextVar[MigrationRun | None] = ContextVar("migration_run", default=None)
"""The run of the task that we are in."""


class PartmanEngine(PostgresEngine):
    """A PostgresEngine that makes migration runs safe, and connects when it is first asked to.

    What a migration command asks for goes to its MigrationRun. Everything else is Piccolo's own
    behaviour, except that Piccolo's engine connects twice just to be imported: for the server's
    version, and to install extensions. Here ``import piccolo_conf`` touches nothing.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._given_settings = settings
        expect_an_end_from_outside()
        super().__init__(config={}, extensions=())

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the process. Raises SettingsError."""
        return self._given_settings or Settings.load()

    @property
    def config(self) -> dict[str, Any]:
        """What a pool is to connect to. Piccolo's ``sql_shell`` reads the ``dsn`` too."""
        url = database_url(self.settings)
        return {
            "dsn": url,
            "server_settings": session_settings(url, APPLICATION_NAME),
            **self._for_pooling,
        }

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        """Ignore what Piccolo's constructor stores: it is made when it is first read."""

    async def check_version(self) -> None:
        """Do nothing: the version is checked on each connection, which knows it for free."""

    async def prep_database(self) -> None:
        """Do nothing: extensions are a matter for migrations."""

    async def get_new_connection(self) -> "Connection[Record] | Any":
        """Return a new connection, or in a migration command the run's. Raises PartmanError."""
        with presented():
            command = calling_command()
            if command is None:
                return await self._application_connection()
            return (await self._run_of(command)).connection

    async def start_connection_pool(self, **options: Any) -> None:
        """Start a pool of application connections; the options are ``asyncpg.create_pool``'s.

        Raises PartmanError as every new connection does, now and later.
        """
        options.setdefault("connect", self._connect_for_pool)
        if self.settings.pooling is Pooling.TRANSACTION:
            # The driver would reset a session, but the one that it gets may be another client's.
            options.setdefault("reset", _leave_as_it_is)
        await super().start_connection_pool(**options)

    async def tenant_connection(self) -> TenantConnection:
        """Return a connection for one tenant's block. Raises PartmanError.

        From the pool if there is one. Otherwise it is new, and takes some milliseconds more than
        another, to learn the array types.
        """
        if self.pool is not None:
            pooled = await self.pool.acquire()
            return TenantConnection(pooled, functools.partial(self.pool.release, pooled))
        connection = await self._application_connection(init=learn_array_types)
        return TenantConnection(connection, connection.close)

    async def batch(
        self, query: "Query[Any, Any]", batch_size: int = 100, node: str | None = None
    ) -> AsyncBatch:
        """Return the rows of a query in portions; in a tenant's block, over its connection."""
        transaction = self.current_transaction.get()
        if isinstance(transaction, TenantTransaction):
            return TenantBatch(transaction, query, batch_size)
        return await super().batch(query, batch_size, node)

    @property
    def in_migration(self) -> bool:
        """Whether a migration command is asking."""
        run = _current_run.get()
        return run is not None and not run.closed and calling_command() is not None

    def transaction(self, allow_nested: bool = True) -> PostgresTransaction:
        """Return a transaction, or in a migration command one that the run completes."""
        run = _current_run.get()
        if run is None or not self.in_migration:
            return super().transaction(allow_nested)
        return RunTransaction(self, run, allow_nested)

    async def run_querystring(self, querystring: "QueryString", in_pool: bool = True) -> Any:
        """Run a query."""
        with presented():
            return await super().run_querystring(querystring, in_pool and self._may_use_pool())

    async def run_ddl(self, ddl: str, in_pool: bool = True) -> Any:
        """Run a statement that changes the schema."""
        with presented():
            return await super().run_ddl(ddl, in_pool and self._may_use_pool())

    @contextlib.contextmanager
    def working_on(self, settings: Settings) -> Iterator[None]:
        """Work on another database for the duration of a block, as on a scratch database."""
        before = self.settings
        self.settings = settings
        token = _current_run.set(None)
        try:
            yield
        finally:
            _current_run.reset(token)
            self.settings = before

    def migration_run(self) -> MigrationRun:
        """Return the run that we are in. Raises PartmanError outside of a migration command."""
        run = _current_run.get()
        if run is None or run.closed:
            raise PartmanError(
                "An online migration was run by itself. Its steps are recorded by the migration "
                "command, so run it with: piccolo migrations forwards all"
            )
        return run

    @property
    def _for_pooling(self) -> dict[str, Any]:
        """The driver's options; prepared statements would stay with a server process."""
        if self.settings.pooling is Pooling.TRANSACTION:
            return {"statement_cache_size": 0}
        return {}

    async def _application_connection(self, **options: Any) -> "Connection[Record]":
        options |= self._for_pooling
        return await connect(self.settings, application_name=APPLICATION_NAME, **options)

    async def _connect_for_pool(self, url: str, **options: Any) -> "Connection[Record]":
        settings = dataclasses.replace(self.settings, database_url=url)
        options["init"] = learn_array_types
        return await connect(settings, application_name=APPLICATION_NAME, **options)

    def _may_use_pool(self) -> bool:
        return self.pool is not None and calling_command() is None

    async def _run_of(self, command: Command) -> MigrationRun:
        run = _current_run.get()
        if run is not None and not run.closed and run.serves(command):
            run.serve(command)
            return run
        _log_in_piccolo_command(self.settings)
        run = await MigrationRun.start(self.settings, command)
        _current_run.set(run)
        return run


async def _leave_as_it_is(_: "Connection[Record]") -> None:
    """Take back a connection to the pool that has no session of its own."""


def _log_in_piccolo_command(settings: Settings) -> None:
    """Piccolo sets up no logging; an application has its own."""
    if in_piccolo_command() and not logging.getLogger("partman").handlers:
        configure_logging(settings.log_format)
