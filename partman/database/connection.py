"""Connect to the project's database; used by the engine and by code without Piccolo.

Imports neither Piccolo nor the command line, so that a command that only reads the database does
not pay for loading an ORM.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from partman.connection_url import describe, has_secret_in_query
from partman.database.array_types import tell_array_types
from partman.database.explain import server_message
from partman.errors import (
    DatabaseUnavailableError,
    SettingsError,
    UnsupportedServerError,
)
from partman.settings import Settings, invalid_url

if TYPE_CHECKING:
    from asyncpg import Connection

OLDEST_SERVER = 15
"""The oldest major version that has all features in use, such as NULLS NOT DISTINCT."""

KEEPS_NO_STATEMENT: Final[Mapping[str, Any]] = {"max_cacheable_statement_size": 1}
"""connect()'s options for a session that changes the schema: a statement that the driver has kept
fails when its table has been changed. With ``statement_cache_size=0``, which is for a pooler in
transaction mode, the driver would let the server parse every statement twice.
"""

_TRANSIENT = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
)
"""Errors of a server that is starting, restarting or has no free connection."""


def database_url(settings: Settings) -> str:
    """Return the URL to connect to. Without DATABASE_URL, start the embedded server first."""
    if settings.database_url is not None:
        return settings.database_url
    from partman.database import embedded  # not needed with a DATABASE_URL

    return embedded.start(settings.data_directory)


async def connect(
    settings: Settings,
    *,
    application_name: str,
    init: Callable[["Connection[asyncpg.Record]"], Awaitable[None]] | None = None,
    **options: Any,
) -> "Connection[asyncpg.Record]":
    """Open a connection to the project's database, and run ``init`` on it.

    An ``application_name`` in the URL, in the engine's config or in PGAPPNAME takes precedence over
    the argument. Raises DatabaseUnavailableError, UnsupportedServerError, SettingsError.
    """
    url = settings.database_url
    if url is None:  # start the embedded server, which takes a while
        url = await asyncio.to_thread(database_url, settings)
    session = session_settings(settings, url, application_name)
    options = {
        # To plan the long statement that reads the catalog takes longer than to run it again.
        "max_cacheable_statement_size": 0,
        **settings.driver_options,
        "server_settings": session,
        **options,
    }

    async def attempt() -> "Connection[asyncpg.Record]":
        connection: Connection[asyncpg.Record] = await asyncpg.connect(url, **options)
        try:
            refuse_unsupported(connection, settings.url_source)
            tell_array_types(connection)
            if init is not None:
                await init(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    return await _explained(attempt, url, settings.url_source)


@asynccontextmanager
async def connected(
    settings: Settings, application_name: str = "partman", **options: Any
) -> AsyncIterator["Connection[asyncpg.Record]"]:
    """Connect for the duration of a block. Raises the errors of connect()."""
    connection = await connect(settings, application_name=application_name, **options)
    try:
        yield connection
    finally:
        await connection.close()


def session_settings(settings: Settings, url: str, application_name: str) -> dict[str, str]:
    """Return the server settings that every session starts with, except those that the URL has."""
    session = {
        "application_name": os.environ.get("PGAPPNAME") or application_name,
        **settings.driver_options.get("server_settings", {}),
    }
    told = parse_qs(urlsplit(url).query)
    return {name: value for name, value in session.items() if name not in told}


def refuse_unsupported(connection: "Connection[asyncpg.Record]", source: str) -> None:
    """Raise UnsupportedServerError if the server is older than OLDEST_SERVER."""
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise UnsupportedServerError(
            f"The server is PostgreSQL {version.major}; partman needs {OLDEST_SERVER} or newer. "
            f"Nothing was changed. Upgrade the server, or let {source} name another one."
        )


async def _explained(
    attempt: Callable[[], Awaitable["Connection[asyncpg.Record]"]], url: str, source: str
) -> "Connection[asyncpg.Record]":
    """Run the attempt; raise the driver's error as a PartmanError."""
    where = describe(url)
    may_quote = not has_secret_in_query(url)
    try:
        return await attempt()
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise DatabaseUnavailableError(
            f"{where} rejected the login: {error}. Check the user and the password in {source}; "
            "special characters in it must be percent-encoded."
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseUnavailableError(
            f"{where}: {error}. Create it with createdb, or correct {source}."
        ) from error
    except ssl.SSLError as error:
        raise DatabaseUnavailableError(
            f"{where}: TLS failed: {error.reason or error}. Check sslmode and sslrootcert."
        ) from error
    except _TRANSIENT as error:
        raise DatabaseUnavailableError(
            f"{where} cannot be reached: {_reason(error)}. "
            f"Check that the server is running and that {source} is correct.",
            transient=True,
        ) from error
    except asyncpg.PostgresError as error:
        if not may_quote:
            raise SettingsError(invalid_url(source)) from None
        raise DatabaseUnavailableError(
            f"{where} rejected the connection: {server_message(error)}."
        ) from error
    except (ValueError, TypeError, OverflowError, asyncpg.InterfaceError) as error:
        # From None, as a traceback would quote the error.
        raise SettingsError(_not_valid(error, source, may_quote)) from None


def _not_valid(error: Exception, source: str, may_quote: bool) -> str:
    """Return a message without the URL, which the driver may quote with its password."""
    about_parameter = isinstance(error, asyncpg.exceptions.ClientConfigurationError)
    if not about_parameter or not may_quote or "URI" in str(error):
        return invalid_url(source)
    return (
        f"A parameter of {source}, or a variable such as PGSSLMODE, is not valid: "
        f"{server_message(error)}."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "no answer in time"
