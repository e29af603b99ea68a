"""Errors of the server, in the words of whoever has to act on them."""

import asyncpg

from partman.errors import MigrationFailedError, PartmanError, PermissionDeniedError

ROLLED_BACK = "The migration was rolled back, the database is as it was before it."
"""What became of a migration that is one transaction."""


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
