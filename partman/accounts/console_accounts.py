"""Accounts of the console. A trigger ends their sessions: see tables/console_accounts.py."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from partman.accounts.common import (
    AccountNotFoundError,
    PasswordRefusedError,
    as_owner,
    refuse_password,
)
from partman.errors import PartmanError
from partman.serve.people.account_base import LONGEST_PASSWORD, address_of
from partman.tables.console_accounts import ConsoleAccount

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NOTHING = "Nothing was changed."
_OURS = "accounts of the console"


class AddressRefusedError(PartmanError):
    """The address is invalid or already used."""


class OrganizationNotFoundError(PartmanError):
    """No organization has the subdomain."""


@dataclass(frozen=True)
class Account:
    """An enabled or disabled account of the console."""

    email: str
    organization: str | None
    """The subdomain of the organization that it administers; None for a platform operator."""
    active: bool
    last_login: datetime | None
    sessions: int
    """The number of browsers in which it is signed in."""


async def create(
    connection: "Connection[Record]", email: str, password: str, organization: str | None
) -> Account:
    """Add an account: the admin of an organization, by its subdomain, or a platform operator.

    Raises AddressRefusedError, PasswordRefusedError, OrganizationNotFoundError, NoAccountsError,
    PermissionDeniedError.
    """
    address = _new_address(email)
    hashed = _hashed(password, address)
    async with as_owner(connection, _OURS):
        organization_id = None
        if organization is not None:
            organization_id = await connection.fetchval(
                "SELECT id FROM organizations WHERE subdomain = $1", organization
            )
            if organization_id is None:
                raise OrganizationNotFoundError(
                    f"No organization has the subdomain {organization}. {_NOTHING} Omit "
                    "--organization to create a platform operator."
                )
        added = await connection.fetchval(
            """
            INSERT INTO console_accounts
                (username, email, password, active, admin, superuser, organization_id)
            VALUES ($1, $1, $2, true, true, $3::uuid IS NULL, $3)
            ON CONFLICT DO NOTHING RETURNING id
            """,
            address,
            hashed,
            organization_id,
        )
        if added is None:
            raise AddressRefusedError(
                f"{address} has an account already. {_NOTHING} Set a new password with: partman "
                f"admin set-password --console {address}"
            )
        return await _account(connection, address)


async def set_password(connection: "Connection[Record]", email: str, password: str) -> Account:
    """Set an account's password and end its sessions; return the account as it was before.

    Raises AccountNotFoundError, PasswordRefusedError, NoAccountsError, PermissionDeniedError.
    """
    address = address_of(email)
    hashed = _hashed(password, address)
    async with as_owner(connection, _OURS):
        before = await _account(connection, address)
        await connection.execute(
            "UPDATE console_accounts SET password = $2 WHERE username = $1", address, hashed
        )
        return before


async def set_active(connection: "Connection[Record]", email: str, *, active: bool) -> Account:
    """Enable or disable an account; disabling ends its sessions. Return it as it was before.

    Raises AccountNotFoundError, NoAccountsError, PermissionDeniedError.
    """
    address = address_of(email)
    async with as_owner(connection, _OURS):
        before = await _account(connection, address)
        await connection.execute(
            "UPDATE console_accounts SET active = $2 WHERE username = $1", address, active
        )
        return before


async def delete(connection: "Connection[Record]", email: str) -> Account:
    """Delete an account, and with it its sessions; return it as it was.

    Raises AccountNotFoundError, NoAccountsError, PermissionDeniedError.
    """
    address = address_of(email)
    async with as_owner(connection, _OURS):
        before = await _account(connection, address)
        await connection.execute("DELETE FROM console_accounts WHERE username = $1", address)
        return before


async def every(connection: "Connection[Record]") -> list[Account]:
    """Return all accounts, operators first. Raises NoAccountsError, PermissionDeniedError."""
    async with as_owner(connection, _OURS):
        rows = await connection.fetch(f"{_ACCOUNTS} ORDER BY subdomain NULLS FIRST, username")
    return [_as_account(row) for row in rows]


_ACCOUNTS = """
    SELECT username, subdomain, active, last_login,
           (SELECT count(*)::int FROM console_sessions WHERE user_id = console_accounts.id)
               AS sessions
    FROM console_accounts LEFT JOIN organizations ON organizations.id = organization_id
"""


async def _account(connection: "Connection[Record]", address: str) -> Account:
    row = await connection.fetchrow(
        f"{_ACCOUNTS} WHERE username = $1 FOR UPDATE OF console_accounts", address
    )
    if row is None:
        raise AccountNotFoundError(
            f"The console has no account {address}. {_NOTHING} List all accounts with: partman "
            "admin list"
        )
    return _as_account(row)


def _as_account(row: "Record") -> Account:
    at = row["last_login"]
    return Account(
        row["username"],
        row["subdomain"],
        row["active"],
        at.replace(tzinfo=UTC) if at else None,
        row["sessions"],
    )


def _new_address(email: str) -> str:
    address = address_of(email)
    name, _, domain = address.rpartition("@")
    longest = ConsoleAccount.username.length
    if not name or not domain or not address.isprintable() or " " in address:
        raise AddressRefusedError(f"{email!r} is not a valid e-mail address. {_NOTHING}")
    if longest is not None and len(address) > longest:
        raise AddressRefusedError(
            f"The address has more than {longest} characters, the maximum. {_NOTHING}"
        )
    return address


def _hashed(password: str, address: str) -> str:
    refuse_password(password)
    if len(password) > LONGEST_PASSWORD:
        raise PasswordRefusedError(
            f"The password has more than {LONGEST_PASSWORD} characters; nothing was changed."
        )
    if address_of(password) == address:
        raise PasswordRefusedError("The password is the address; nothing was changed.")
    return ConsoleAccount.hash_password(password)
