"""The Piccolo engine of the project."""

import functools
import sys
from typing import TYPE_CHECKING, Any

from piccolo.engine.postgres import PostgresEngine

from partman.database.connection import connect, database_url, session_settings
from partman.errors import PartmanError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

APPLICATION_NAME = "partman"


class PartmanEngine(PostgresEngine):
    """A PostgresEngine that finds its database when it is first asked for it.

    Piccolo's own connects twice just to be imported: for the version, and to install
    extensions. Here ``import piccolo_conf`` touches nothing, so ``piccolo migrations new``
    needs no server.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._given_settings = settings
        # Piccolo keeps a plain dict, and passes it to asyncpg.connect and create_pool.
        # Here it is made when it is first read: see the property.
        super().__init__(config={}, extensions=())

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the process. Raises SettingsError."""
        return self._given_settings or Settings.load()

    @property
    def config(self) -> dict[str, Any]:
        """What asyncpg is to connect to; Piccolo's ``sql_shell`` reads the ``dsn`` as well."""
        url = database_url(self.settings)
        return {"dsn": url, "server_settings": session_settings(url, APPLICATION_NAME)}

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        """Ignore what Piccolo's constructor stores."""

    async def check_version(self) -> None:
        """Do nothing: the version is checked on each connection, which knows it for free."""

    async def prep_database(self) -> None:
        """Do nothing: extensions are a matter for migrations."""

    async def get_new_connection(self) -> "Connection[Record]":
        """Open a connection. Raises PartmanError."""
        try:
            return await connect(self.settings, application_name=APPLICATION_NAME)
        except PartmanError as error:
            raise _for_the_caller(error) from error


def _for_the_caller(error: PartmanError) -> BaseException:
    """Return what to raise so that a person who typed a command sees one line.

    Piccolo's command line prints any Exception together with the command's usage page, and
    exits with 1. It lets SystemExit through, so within it an error is printed here and leaves
    as its exit code. An application gets the PartmanError.
    """
    if not _in_piccolo_command():
        return error
    print(error, file=sys.stderr)  # noqa: T201
    return SystemExit(error.exit_code)


def _in_piccolo_command() -> bool:
    """Whether this process is a Piccolo command that has no use without a database."""
    groups = {"fixtures", "migrations", "schema", "shell", "sql_shell", "user"}
    return "piccolo.main" in sys.modules and not groups.isdisjoint(sys.argv[1:2])
