"""Accounts of the product: rows of ``users``, as operators of the database manage them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt

from partman.accounts.common import (
    AccountNotFoundError,
    PasswordRefusedError,
    as_owner,
    refuse_password,
)

if TYPE_CHECKING:
    from asyncpg import Connection, Record

MAXIMUM_BYTES = 72
"""bcrypt ignores the bytes after these."""


@dataclass(frozen=True)
class Account:
    """The account whose password was set."""

    email: str
    organization: str
    """The organization's subdomain."""


def hash_password(password: str) -> str:
    """Return the bcrypt hash (``$2b$``) of a password. Raises PasswordRefusedError."""
    refuse_password(password)
    encoded = password.encode()
    if len(encoded) > MAXIMUM_BYTES:
        raise PasswordRefusedError(
            f"The password is longer than {MAXIMUM_BYTES} bytes, the maximum of bcrypt; nothing "
            "was changed."
        )
    return bcrypt.hashpw(encoded, bcrypt.gensalt()).decode()


async def set_password(
    connection: "Connection[Record]", email: str, password: str, organization: str | None = None
) -> Account:
    """Set the account's password.

    An address may have accounts in several organizations; ``organization`` is the subdomain of the
    one to use. Raises AccountNotFoundError, PasswordRefusedError, NoAccountsError,
    PermissionDeniedError.
    """
    hashed = hash_password(password)
    async with as_owner(connection, "accounts"):
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


def _the_one(found: "list[Record]", email: str) -> "Record":
    if not found:
        raise AccountNotFoundError(
            f"There is no account {email}; nothing was changed. For an account of the console, "
            "add --console."
        )
    if len(found) > 1:
        subdomains = ", ".join(row["subdomain"] for row in found)
        raise AccountNotFoundError(
            f"{email} has an account in several organizations ({subdomains}); nothing was "
            "changed. Choose one with --organization."
        )
    return found[0]
