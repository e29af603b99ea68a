"""Errors of the server, in the words of whoever has to act on them."""

import asyncpg

from partman.errors import MigrationFailedError, PartmanError, PermissionDeniedError


def explain(error: asyncpg.PostgresError, statement: str) -> PartmanError:
    """Return the error to raise for a statement of a migration that the server refused.

    Says what the server said, with its detail and its hint, and which statement it was.
    """
    said = str(error.args[0])  # the driver would add detail and hint, on lines of their own
    for label, text in (("Detail", error.detail), ("Hint", error.hint)):
        if text:
            said += f". {label}: {text.rstrip('.')}"
    if error.position:
        said += f" (at character {error.position})"
    message = (
        f"{said}. The migration was rolled back, the database is as it was before it. "
        f"The statement: {shortened(statement)}"
    )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return PermissionDeniedError(message)
    return MigrationFailedError(message)


def shortened(statement: str, width: int = 200) -> str:
    """Return a statement in one line, cut to ``width`` characters."""
    text = " ".join(statement.split())
    return text if len(text) <= width else f"{text[:width]} …"
