"""Wait for a database that is still starting."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from partman.database.connection import connect
from partman.errors import DatabaseUnavailableError
from partman.retry import Patience
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PAUSE = 0.5
"""Seconds between two attempts."""
_ATTEMPT = 5.0
"""Seconds that one attempt may take, as behind a packet filter that drops packets."""
_LEAST = 1.0
"""Seconds that it has, also when the time is up: a busy server answers late."""


async def connect_when_ready(
    settings: Settings, *, patience: float, application_name: str, report: Callable[[str], None]
) -> "Connection[Record]":
    """Connect as soon as the database accepts connections, within ``patience`` seconds.

    ``report`` gets each new reason for waiting. Raises DatabaseUnavailableError when the time is
    up, and at once for an error that a retry cannot fix, such as a wrong password.
    """
    wait, reported = Patience(patience, first=_PAUSE, longest=_PAUSE), None
    while True:
        try:
            return await connect(
                settings,
                application_name=application_name,
                timeout=max(_LEAST, min(_ATTEMPT, wait.left)),
            )
        except DatabaseUnavailableError as error:
            if not error.transient:
                raise
            if wait.left <= 0:
                raise DatabaseUnavailableError(f"{error} Gave up after {patience:g} s.") from error
            if str(error) != reported:
                reported = str(error)
                report(f"Waiting up to {wait.left:.0f} s for the database. {error}")
            await wait.pause()


@asynccontextmanager
async def connected_when_ready(
    settings: Settings, *, patience: float, report: Callable[[str], None]
) -> AsyncIterator["Connection[Record]"]:
    """Connect for the duration of a block, as connect_when_ready() does. Raises its errors."""
    connection = await connect_when_ready(
        settings, patience=patience, application_name="partman", report=report
    )
    try:
        yield connection
    finally:
        await connection.close()
