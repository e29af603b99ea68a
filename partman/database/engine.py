"""Piccolo's engine, connecting when it is first used, to the database that the settings name."""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from piccolo.engine.postgres import PostgresEngine

from partman.database.application_login import allow_login, application_settings
from partman.database.connection import connect, database_url, session_settings
from partman.database.distributed import distributed_tables
from partman.database.poolers import assigns_processes_per_transaction, undeclared_pooling
from partman.errors import DatabaseUnavailableError, WrongEngineError
from partman.isolation import Tenancy
from partman.project import conf_module, import_conf
from partman.settings import Pooling, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

APPLICATION_NAME = "partman"

E = TypeVar("E", bound="DatabaseEngine")


class DatabaseEngine(PostgresEngine):
    """A PostgresEngine that connects when it is first asked to.

    Piccolo's engine connects twice just to be imported: for the server's version, and to install
    extensions. Here ``import piccolo_conf`` touches nothing.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        extensions: Sequence[str] = (),
        log_queries: bool = False,
        log_responses: bool = False,
        settings: Settings | None = None,
        tenancy: Tenancy | None = None,
    ) -> None:
        self._given_config = dict(config or {})
        self._given_settings = settings
        self.tenancy = tenancy
        """How the project keeps its tenants apart; None if it has none."""
        self._is_given_login = False
        self._without_pooler: set[str | None] = set()
        """The addresses that are not a pooler's in transaction mode."""
        self._distributed: dict[str | None, bool] = {}
        """By address, whether Citus distributes tables of the database."""
        self.is_distributed = False
        """The same of the database of the newest session for tenants."""
        super().__init__({}, extensions, log_queries, log_responses)

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the process. Raises SettingsError."""
        return self._given_settings or Settings.load(config=self._given_config)

    @property
    def config(self) -> dict[str, Any]:
        """What a pool is to connect to. Piccolo's ``sql_shell`` reads the ``dsn`` too."""
        settings = self._login_settings()
        url = database_url(settings)
        return {
            **settings.driver_options,
            "dsn": url,
            "server_settings": session_settings(settings, url, APPLICATION_NAME),
            **self._for_pooling,
        }

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        """Ignore what Piccolo's constructor stores: it is made when it is first read."""

    @property
    def in_migration(self) -> bool:
        """Whether a migration command is asking."""
        return False

    @property
    def is_administration(self) -> bool:
        """Whether this process is a tool for administrators, which has their login."""
        return False

    async def check_version(self) -> None:
        """Do nothing: the version is checked on each connection, which knows it for free."""

    async def prep_database(self) -> None:
        """Do nothing: extensions are a matter for migrations."""

    async def get_new_connection(self) -> "Connection[Record] | Any":
        """Return a new connection. Raises PartmanError."""
        return await self.application_connection()

    async def application_connection(self, **options: Any) -> "Connection[Record]":
        """Return a new connection with the application's login.

        ``options`` are connect()'s. Raises what that does, and NotIsolatedError.
        """
        options |= self._for_pooling
        return await self._log_in(await asyncio.to_thread(self._login_settings), **options)

    async def prepare_session(self, connection: "Connection[Record]") -> None:
        """Prepare a new connection for blocks of tenants. Raises PartmanError."""
        await self._learn_form(connection)
        if self.settings.pooling is Pooling.TRANSACTION or self.settings.database_url is None:
            return  # the embedded server has no pooler
        login = self._login_settings()
        if login.database_url not in self._without_pooler:
            if await assigns_processes_per_transaction(connection, login):
                raise undeclared_pooling()
            self._without_pooler.add(login.database_url)

    async def _learn_form(self, connection: "Connection[Record]") -> None:
        """Find out once for each address whether the database is distributed."""
        if self.settings.database_url is None and self.settings.app_database_url is None:
            return  # the embedded server has no Citus
        address = self._login_settings().database_url
        if address not in self._distributed:
            self._distributed[address] = bool(await distributed_tables(connection))
        self.is_distributed = self._distributed[address]

    async def start_connection_pool(self, **options: Any) -> None:
        """Start a pool of application connections; the options are ``asyncpg.create_pool``'s.

        Whoever waits for a connection longer than ``wait`` seconds (PARTMAN_POOL_WAIT, unless
        given) gets a PoolFullError. Raises PartmanError as every new connection does, now and
        later.
        """
        from partman.database.pool import LimitedPool  # commands have none

        login = self._login_settings()
        options.setdefault("connect", functools.partial(self._connect_for_pool, login))
        if self.settings.pooling is Pooling.TRANSACTION:
            # The driver would reset a session, but the one that it gets may be another client's.
            options.setdefault("reset", _leave_as_it_is)
        if self.pool is not None:
            await super().start_connection_pool()  # warns that there is one
            return
        options.setdefault("wait", self.settings.pool_wait)
        self.pool = await LimitedPool(**{**self.config, **options})

    @contextlib.contextmanager
    def working_on(self, settings: Settings) -> Iterator[None]:
        """Work on another database for the duration of a block, as on a scratch database.

        With the login of ``settings``, which is nobody's but the tool's.
        """
        before = self.settings, self._is_given_login
        self.settings, self._is_given_login = settings, True
        try:
            yield
        finally:
            self.settings, self._is_given_login = before

    @property
    def _for_pooling(self) -> dict[str, Any]:
        """The driver's options; prepared statements would stay with a server process."""
        if self.settings.pooling is Pooling.TRANSACTION:
            return {"statement_cache_size": 0}
        return {}

    async def _connect_for_pool(
        self, login: Settings, url: str, **options: Any
    ) -> "Connection[Record]":
        options["init"] = self.prepare_session
        return await self._log_in(dataclasses.replace(login, database_url=url), **options)

    def _login_settings(self) -> Settings:
        """Return the settings to connect with, which name the login."""
        if self._is_given_login or self.is_administration:
            return self.settings
        return application_settings(self.settings, self.tenancy)

    async def _log_in(self, login: Settings, **options: Any) -> "Connection[Record]":
        options["application_name"] = APPLICATION_NAME
        try:
            return await connect(login, **options)
        except DatabaseUnavailableError as error:
            if self.settings.database_url is not None or self.tenancy is None:
                raise
            if not await allow_login(self.settings, self.tenancy, error):
                raise
        return await connect(login, **options)


async def _leave_as_it_is(_: "Connection[Record]") -> None:
    """Take back a connection to the pool that has no session of its own."""


def project_engine(kind: type[E]) -> E:
    """Return the engine of the project's conf module.

    ``kind`` is the class that offers what the caller needs of it. Raises WrongEngineError for an
    engine that is not partman's, and ProjectError if there is no project, or none to import.
    """
    engine = getattr(import_conf(), "DB", None)
    if not isinstance(engine, kind):
        found = "no engine" if engine is None else f"a {type(engine).__name__}"
        raise WrongEngineError(
            f"{conf_module()} has {found} as DB, and partman needs its own. Nothing was done. In "
            "that file: from partman.engine import PartmanEngine, and DB = PartmanEngine()"
        )
    return engine
