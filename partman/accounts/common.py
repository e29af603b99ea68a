"""What accounts of the product and of the console have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from partman.errors import PartmanError, PermissionDeniedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

MINIMUM_LENGTH = 12
"""Characters. NIST SP 800-63B requires at least 8, and these accounts have all privileges."""


class PasswordRefusedError(PartmanError):
    """The password is too short, too long, or cannot be hashed."""


class AccountNotFoundError(PartmanError):
    """No account, or more than one, has the address."""


class NoAccountsError(PartmanError):
    """The database is at a version without such accounts."""


def refuse_password(password: str) -> None:
    """Raise PasswordRefusedError for a password that no account may have."""
    if len(password) < MINIMUM_LENGTH:
        raise PasswordRefusedError(
            f"The password has fewer than {MINIMUM_LENGTH} characters; nothing was changed."
        )
    if "\0" in password:
        raise PasswordRefusedError("The password contains a NUL; nothing was changed.")


@asynccontextmanager
async def as_owner(connection: "Connection[Record]", accounts: str) -> AsyncIterator[None]:
    """Begin a transaction that sees the rows of all organizations, or fails.

    ``accounts`` names the accounts that an older database lacks. Raises NoAccountsError,
    PermissionDeniedError.
    """
    try:
        async with connection.transaction():
            # Hidden rows must raise an error: otherwise the account would seem to be missing.
            await connection.execute("SET LOCAL row_security = off")
            yield
    except asyncpg.UndefinedTableError as error:
        raise NoAccountsError(
            f"The database has no {accounts}: {error}. Nothing was changed. Run: "
            "piccolo migrations forwards all"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The role lacks the privilege: {error}. Nothing was changed. Connect as the owner of "
            "the tables, a role that bypasses row level security."
        ) from error
