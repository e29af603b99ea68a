"""Errors of the server, in the words of whoever has to act on them."""

import asyncpg

from partman.errors import (
    DatabaseUnavailableError,
    MigrationFailedError,
    PartmanError,
    PermissionDeniedError,
)

ROLLED_BACK = "The migration was rolled back, the database is as it was before it."
"""What became of a migration that is one transaction."""
NOT_SENT = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Raised by the driver for a connection that it knows to be closed, or that is closed under it."""
SESSION_ENDED = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""Raised by a statement whose session the server has ended."""
CONNECTION_LOST = (*NOT_SENT, *SESSION_ENDED, OSError)
"""Raised by a statement of ours whose connection is gone. Not to be caught around code of others:
InterfaceError and OSError have other causes, too."""
_UNDONE = "What was not committed is rolled back."


def explain(
    error: asyncpg.PostgresError, statement: str, became: str = ROLLED_BACK
) -> PartmanError:
    """Return the error to raise for a statement of a migration that the server refused.

    Says what the server said, with its detail and its hint, what became of the migration, and
    which statement it was.
    """
    where = f" (at character {error.position})" if error.position else ""
    message = f"{said(error)}{where}. {became} The statement: {shortened(statement)}"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return PermissionDeniedError(message)
    return MigrationFailedError(message)


def situation(error: Exception) -> PartmanError | None:
    """Return what to say of an error that no command expects, but that is no mistake of its own.

    That is what an operator's server or rights can be like; None of everything else.
    """
    match error:
        case asyncpg.ReadOnlySQLTransactionError():
            return PermissionDeniedError(
                f"{said(error)}. {_UNDONE} The session may only read: the server is a standby, or "
                "default_transaction_read_only is on. Point DATABASE_URL to where one may write."
            )
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"The role may not do this: {said(error)}. {_UNDONE} Use the role that runs the "
                "migrations."
            )
        case _ if _is_lost(error):
            return DatabaseUnavailableError(
                f"The connection was lost: {said(error)}. {_UNDONE} Type the command again when "
                "the server is back."
            )
    return None


def _is_lost(error: Exception) -> bool:
    """Whether an error of any origin can only mean a lost connection."""
    if isinstance(error, asyncpg.InterfaceError):  # also raised for a wrong use of the driver
        return "is closed" in str(error)
    return isinstance(error, (*SESSION_ENDED, asyncpg.InternalClientError, ConnectionResetError))


def said(error: BaseException) -> str:
    """Return what the server or the driver said, with its detail and its hint, in one line."""
    if not isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return str(error)
    text = str(error.args[0])  # the driver would add detail and hint, on lines of their own
    for label, more in (("Detail", error.detail), ("Hint", error.hint)):
        if more:
            text += f". {label}: {more.rstrip('.')}"
    return " ".join(text.split())


def shortened(statement: str, width: int = 200) -> str:
    """Return a statement in one line, cut to ``width`` characters."""
    text = " ".join(statement.split())
    return text if len(text) <= width else f"{text[:width]} …"
