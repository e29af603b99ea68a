"""One way to connect, for the engine and for everything that needs no Piccolo.

Imports neither Piccolo nor the command line: a command that only wants to look at the
database should not pay for loading an ORM.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from partman.database.explain import said
from partman.errors import (
    DatabaseUnavailableError,
    SettingsError,
    UnsupportedServerError,
)
from partman.settings import URL_NOT_UNDERSTOOD, Settings

if TYPE_CHECKING:
    from asyncpg import Connection

OLDEST_SERVER = 15
"""The oldest major version whose features the schema uses (NULLS NOT DISTINCT, for one)."""

_NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
)
"""What a server that is starting, restarting or full looks like from outside."""


def database_url(settings: Settings) -> str:
    """Return the address to connect to, starting the embedded server if it is the one."""
    if settings.database_url is not None:
        return settings.database_url
    from partman.database import embedded  # the usual DATABASE_URL never needs it

    return embedded.start(settings.data_directory)


def describe(url: str) -> str:
    """Say which database a URL means, as ``user@host:port/database``, never its password.

    A URL that makes no sense is described as nothing more than that.
    """
    try:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        host = unquote(parts.netloc.rpartition("@")[2]) or query.get("host", "localhost")
        user = unquote(parts.username or "") or query.get("user", "")
        database = unquote(parts.path.lstrip("/")) or query.get("dbname", "") or user
    except ValueError:
        return "the database of DATABASE_URL"
    return f"{user}@{host}/{database}" if user else f"{host}/{database}"


async def connect(
    settings: Settings,
    *,
    application_name: str,
    init: Callable[["Connection[asyncpg.Record]"], Awaitable[None]] | None = None,
    **options: Any,
) -> "Connection[asyncpg.Record]":
    """Open a connection to the project's database; ``init`` is done before it is handed out.

    An ``application_name`` in the URL, or in PGAPPNAME, wins over the one given here.
    Raises DatabaseUnavailableError, UnsupportedServerError, SettingsError.
    """
    url = await asyncio.to_thread(database_url, settings)
    options.setdefault("server_settings", session_settings(url, application_name))

    async def attempt() -> "Connection[asyncpg.Record]":
        connection: Connection[asyncpg.Record] = await asyncpg.connect(url, **options)
        try:
            refuse_unsupported(connection)
            if init is not None:
                await init(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    return await _explained(attempt, url)


@asynccontextmanager
async def connected(
    settings: Settings, application_name: str = "partman", **options: Any
) -> AsyncIterator["Connection[asyncpg.Record]"]:
    """Connect for the duration of a block. Raises what connect() does."""
    connection = await connect(settings, application_name=application_name, **options)
    try:
        yield connection
    finally:
        await connection.close()


def session_settings(url: str, application_name: str) -> Mapping[str, str]:
    """Return the server settings that every session starts with."""
    named_elsewhere = "application_name" in parse_qs(urlsplit(url).query)
    if named_elsewhere:
        return {}
    return {"application_name": os.environ.get("PGAPPNAME") or application_name}


def refuse_unsupported(connection: "Connection[asyncpg.Record]") -> None:
    """Raise UnsupportedServerError if the server is older than OLDEST_SERVER."""
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise UnsupportedServerError(
            f"The server is PostgreSQL {version.major}; partman needs {OLDEST_SERVER} or newer. "
            "Nothing was changed. Upgrade the server, or point DATABASE_URL to another one."
        )


async def _explained(
    attempt: Callable[[], Awaitable["Connection[asyncpg.Record]"]], url: str
) -> "Connection[asyncpg.Record]":
    """Make the attempt; turn what the driver says of a failure into one line to act on."""
    where = describe(url)
    try:
        return await attempt()
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise DatabaseUnavailableError(
            f"{where} does not let us in: {error}. Check the user and the password in DATABASE_URL."
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseUnavailableError(
            f"{where}: {error}. Create it first (createdb), or correct DATABASE_URL."
        ) from error
    except ssl.SSLError as error:
        raise DatabaseUnavailableError(
            f"{where}: TLS failed: {error.reason or error}. Check sslmode and sslrootcert."
        ) from error
    except _NOT_YET as error:
        raise DatabaseUnavailableError(
            f"{where} cannot be reached: {_reason(error)}. "
            "Is the server running, and is DATABASE_URL right?",
            transient=True,
        ) from error
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailableError(f"{where} refuses the connection: {said(error)}.") from error
    except (ValueError, TypeError, OverflowError, asyncpg.InterfaceError) as error:
        raise SettingsError(_misunderstood(error)) from error


def _misunderstood(error: Exception) -> str:
    """Say what the driver does not take. Its words may quote the URL, and with it the password."""
    of_parameter = isinstance(error, asyncpg.exceptions.ClientConfigurationError)
    if not of_parameter or "URI" in str(error):
        return URL_NOT_UNDERSTOOD
    return (
        "A parameter of DATABASE_URL, or a variable such as PGSSLMODE, cannot be used: "
        f"{said(error)}."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "no answer in time"
