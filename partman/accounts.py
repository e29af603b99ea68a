"""Accounts of people, as far as the database's operators manage them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import bcrypt

from partman.errors import PartmanError, PermissionDeniedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

MINIMUM_LENGTH = 12
"""Characters. NIST SP 800-63B asks for 8 at the least, and this account may do everything."""
MAXIMUM_BYTES = 72
"""bcrypt looks at no more than this."""


class PasswordRefusedError(PartmanError):
    """The password is too short, too long, or cannot be hashed."""


class AccountNotFoundError(PartmanError):
    """No account, or more than one, answers to the address."""


@dataclass(frozen=True)
class Account:
    """Whose password was set."""

    email: str
    organization: str
    """The organization's subdomain."""


def hash_password(password: str) -> str:
    """Return the bcrypt hash (``$2b$``) of a password. Raises PasswordRefusedError."""
    if len(password) < MINIMUM_LENGTH:
        raise PasswordRefusedError(
            f"The password has fewer than {MINIMUM_LENGTH} characters; nothing was changed."
        )
    encoded = password.encode()
    if len(encoded) > MAXIMUM_BYTES:
        raise PasswordRefusedError(
            f"The password is longer than {MAXIMUM_BYTES} bytes, the most that bcrypt looks at; "
            "nothing was changed."
        )
    if b"\0" in encoded:
        raise PasswordRefusedError("The password contains a NUL; nothing was changed.")
    return bcrypt.hashpw(encoded, bcrypt.gensalt()).decode()


async def set_password(
    connection: "Connection[Record]", email: str, password: str, organization: str | None = None
) -> Account:
    """Give the account a new password.

    An address may have an account in several organizations; ``organization`` is the subdomain
    that says which. Raises AccountNotFoundError, PasswordRefusedError, PermissionDeniedError.
    """
    hashed = hash_password(password)
    async with _as_operator(connection):
        found = await connection.fetch(
            """
            SELECT users.id, users.email, organizations.subdomain
            FROM users JOIN organizations ON organizations.id = users.organization_id
            WHERE users.email = $1 AND ($2::text IS NULL OR organizations.subdomain = $2)
            ORDER BY organizations.subdomain
            FOR UPDATE OF users
            """,
            email,
            organization,
        )
        account = _the_one(found, email)
        await connection.execute(
            "UPDATE users SET password_hash = $2 WHERE id = $1", account["id"], hashed
        )
    return Account(account["email"], account["subdomain"])


@asynccontextmanager
async def _as_operator(connection: "Connection[Record]") -> AsyncIterator[None]:
    """Begin a transaction that sees the rows of all organizations, or is refused."""
    try:
        async with connection.transaction():
            # Hidden rows must be an error: unseen, the account would not be there.
            await connection.execute("SET LOCAL row_security = off")
            yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The role may not do this: {error}. Nothing was changed. Connect as the owner of the "
            "tables, a role that bypasses row level security."
        ) from error


def _the_one(found: "list[Record]", email: str) -> "Record":
    if not found:
        raise AccountNotFoundError(f"There is no account {email}; nothing was changed.")
    if len(found) > 1:
        subdomains = ", ".join(row["subdomain"] for row in found)
        raise AccountNotFoundError(
            f"{email} has an account in several organizations ({subdomains}); nothing was "
            "changed. Say which with --organization."
        )
    return found[0]
