"""Turn the server's errors into messages that a person can act on."""

import asyncpg

from partman.errors import (
    DatabaseUnavailableError,
    MigrationFailedError,
    PartmanError,
    PermissionDeniedError,
)

ROLLED_BACK = "The migration was rolled back; the database is as it was before it."
"""The outcome of a failed migration that is one transaction."""
NOT_SENT = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Raised by the driver when the connection is closed before or during a call."""
SESSION_ENDED = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""Raised by a statement when the server has ended its session."""
CONNECTION_LOST = (*NOT_SENT, *SESSION_ENDED, OSError)
"""Raised by a statement of partman when its connection is lost. Do not catch these around other
code, where InterfaceError and OSError have other causes."""
_ROLLED_BACK = "Uncommitted changes were rolled back."
_READ_ONLY = (
    "The session is read-only: the server is a standby, or default_transaction_read_only is on. "
    "Set DATABASE_URL to a writable server."
)


def explain(
    error: asyncpg.PostgresError, statement: str, outcome: str = ROLLED_BACK
) -> PartmanError:
    """Return the error to raise for a failed statement of a migration.

    Its message has the server's message with detail and hint, the ``outcome`` of the migration,
    and the statement.
    """
    position = f" (at character {error.position})" if error.position else ""
    message = f"{server_message(error)}{position}. {outcome} The statement: {shortened(statement)}"
    match error:
        case asyncpg.ReadOnlySQLTransactionError():
            return PermissionDeniedError(f"{message}. {_READ_ONLY}")
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(message)
    return MigrationFailedError(message)


def explain_unexpected(error: Exception) -> PartmanError | None:
    """Return the error to raise for one that no command handles; None if it is a programming error.

    Covers a lost connection, a read-only session and a missing privilege.
    """
    match error:
        case asyncpg.ReadOnlySQLTransactionError():
            return PermissionDeniedError(f"{server_message(error)}. {_ROLLED_BACK} {_READ_ONLY}")
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(
                f"The role lacks a privilege: {server_message(error)}. {_ROLLED_BACK} Use the role "
                "that runs the migrations."
            )
        case _ if _is_lost(error):
            return DatabaseUnavailableError(
                f"The connection was lost: {server_message(error)}. {_ROLLED_BACK} Run the command "
                "again when the server is available."
            )
    return None


def _is_lost(error: Exception) -> bool:
    """Whether an error, raised anywhere, can only mean a lost connection."""
    if isinstance(error, asyncpg.InterfaceError):  # also raised for misuse of the driver
        return "is closed" in str(error)
    return isinstance(error, (*SESSION_ENDED, asyncpg.InternalClientError, ConnectionResetError))


def server_message(error: BaseException) -> str:
    """Return the server's or the driver's message with detail and hint, in one line."""
    if not isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return str(error)
    text = str(error.args[0])  # str() puts detail and hint on lines of their own
    for label, more in (("Detail", error.detail), ("Hint", error.hint)):
        if more:
            text += f". {label}: {more.rstrip('.')}"
    return " ".join(text.split())


def shortened(statement: str, width: int = 200) -> str:
    """Return a statement in one line, cut to ``width`` characters."""
    text = " ".join(statement.split())
    return text if len(text) <= width else f"{text[:width]} …"
