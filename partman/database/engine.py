"""The Piccolo engine of the project."""

import functools
import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import asyncpg
from piccolo.engine.postgres import PostgresEngine

from partman.database.connection import connect, database_url, session_settings
from partman.database.explain import explain
from partman.errors import PartmanError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from piccolo.querystring import QueryString

APPLICATION_NAME = "partman"

T = TypeVar("T")


class PartmanEngine(PostgresEngine):
    """A PostgresEngine that finds its database when it is first asked for it.

    Piccolo's own connects twice just to be imported: for the version, and to install
    extensions. Here ``import piccolo_conf`` touches nothing, so ``piccolo migrations new``
    needs no server.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._given_settings = settings
        super().__init__(config={}, extensions=())

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the process. Raises SettingsError."""
        return self._given_settings or Settings.load()

    @property
    def config(self) -> dict[str, Any]:
        """What a pool is to connect to. Piccolo's ``sql_shell`` reads the ``dsn`` too."""
        url = database_url(self.settings)
        return {"dsn": url, "server_settings": session_settings(url, APPLICATION_NAME)}

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        """Ignore what Piccolo's constructor stores: it is made when it is first read."""

    async def check_version(self) -> None:
        """Do nothing: the version is checked on each connection, which knows it for free."""

    async def prep_database(self) -> None:
        """Do nothing: extensions are a matter for migrations."""

    async def get_new_connection(self) -> "Connection[Record]":
        """Open a connection. Raises PartmanError."""
        try:
            return await connect(self.settings, application_name=APPLICATION_NAME)
        except PartmanError as error:
            _raise_to_caller(error)

    async def run_querystring(self, querystring: "QueryString", in_pool: bool = True) -> Any:
        """Run a query."""
        return await _explained(super().run_querystring(querystring, in_pool), querystring)

    async def run_ddl(self, ddl: str, in_pool: bool = True) -> Any:
        """Run a statement that changes the schema."""
        return await _explained(super().run_ddl(ddl, in_pool), ddl)


async def _explained(result: Awaitable[T], statement: object) -> T:
    """Await a statement; within a migration command, explain what the server refuses.

    An application gets the driver's error as it is.
    """
    try:
        return await result
    except asyncpg.PostgresError as error:
        if not _in_piccolo_command("migrations"):
            raise
        _raise_to_caller(explain(error, str(statement)))


def _raise_to_caller(error: PartmanError) -> NoReturn:
    """Raise the error so that a person who typed a command sees one line.

    Piccolo's command line prints any Exception together with the command's usage page, and
    exits with 1. It lets SystemExit through, so within it the error is printed here and leaves
    as its exit code. An application gets the PartmanError.
    """
    if _in_piccolo_command("fixtures", "migrations", "schema", "shell", "sql_shell", "user"):
        print(f"partman: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code) from error
    raise error


def _in_piccolo_command(*groups: str) -> bool:
    """Whether this process is a Piccolo command of one of these groups."""
    return "piccolo.main" in sys.modules and not set(groups).isdisjoint(sys.argv[1:2])
