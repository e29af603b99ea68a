"""Piccolo's session authentication, with the tables that an app declares for its console."""

import asyncio
import hashlib
import hmac
import logging
import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

from piccolo.table import Table, create_table_class
from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider, RateLimitError
from piccolo_api.session_auth.tables import SessionsBase
from starlette.exceptions import HTTPException

from partman.serve.people.account_base import AccountBase, Proven, address_of

logger = logging.getLogger("partman.serve")

IDLE = timedelta(hours=1)
"""Lifetime of an unused session."""
PROLONGED = timedelta(minutes=20)
"""The time by which use prolongs a session."""
LONGEST = timedelta(hours=12)
"""Maximum lifetime of a session: a working day."""

COOKIE = "id"
"""The name of the session cookie."""

WINDOW = 300
"""Seconds over which sign-in attempts are counted, and for which too many are rejected."""
ATTEMPTS_OF_ADDRESS = 10
"""For one account, from any client."""
ATTEMPTS_OF_CLIENT = 20
"""For one client, on any account."""
_LONGEST_ADDRESS = 100
"""Characters of an attempted address that are kept."""


def limit(attempts: int) -> InMemoryLimitProvider:
    """Return a limit for sign-in attempts; each instance counts for itself."""
    return InMemoryLimitProvider(timespan=WINDOW, limit=attempts, block_duration=WINDOW)


class Account(AccountBase):
    """An account with limited sign-in attempts. Must precede the app's own class in the bases."""

    attempts: ClassVar[InMemoryLimitProvider]

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the account's ID; None for a wrong password or too many attempts."""
        try:
            cls.attempts.increment(address_of(username)[:_LONGEST_ADDRESS])
        except RateLimitError:
            logger.warning("Too many attempts to sign in to one account.")
            return None
        return await cls.prove(username, password)

    @classmethod
    async def update_password(cls, user: str | int, password: str) -> None:
        """Set the password of the account with this ID, without blocking the event loop.

        Raises HTTPException for an unacceptable one; Piccolo's endpoints expect no other exception.
        """
        try:
            cls._validate_password(password)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        if await cls.exists().where(cls.id == user, cls.username == address_of(password)):
            raise HTTPException(422, "The password is the address.")
        hashed = await asyncio.to_thread(cls.hash_password, password)
        await cls.update({cls.password: hashed}).where(cls.id == user)


class Session(SessionsBase):
    """A session, stored under a keyed hash of its token.

    The table's content therefore lets nobody sign in. The class has only those columns of the app's
    table that Piccolo knows, so saving it does not change the chosen tenant.
    """

    secret: ClassVar[bytes]
    accounts: ClassVar[type[AccountBase]]

    @classmethod
    async def create_session(
        cls,
        user_id: int,
        expiry_date: datetime | None = None,
        max_expiry_date: datetime | None = None,
    ) -> "Session":
        """Create a session and delete expired ones. Returns it with its real token.

        Raises HTTPException if the password has changed since it was verified: the change has ended
        all sessions, but could not end this one.
        """
        assert isinstance(user_id, Proven)
        await cls.delete().where(
            (cls.expiry_date < datetime.now()) | (cls.max_expiry_date < datetime.now())
        )
        token = secrets.token_urlsafe(32)
        session = cls(
            token=cls.keyed(token),
            user_id=int(user_id),
            expiry_date=expiry_date,
            max_expiry_date=max_expiry_date,
        )
        async with cls._meta.db.transaction():
            if not await cls.accounts.note_login(user_id):
                raise HTTPException(401, "Login failed")
            await session.save()
        session.token = token
        return session

    @classmethod
    async def get_user_id(cls, token: str, increase_expiry: timedelta | None = None) -> int | None:
        """Return the account's ID; None if the session has expired."""
        return await super().get_user_id(cls.keyed(token), increase_expiry)

    @classmethod
    async def remove_session(cls, token: str) -> None:
        """End a session."""
        await super().remove_session(cls.keyed(token))

    @classmethod
    def keyed(cls, token: str) -> str:
        """Return the hash that the table stores in place of the token."""
        return hmac.new(cls.secret, token.encode(), hashlib.sha256).hexdigest()


def account_table(accounts: type[AccountBase]) -> type[Account]:
    """Return an app's account class with its own count of attempts."""
    members = {"attempts": limit(ATTEMPTS_OF_ADDRESS)}
    bases: Any = (Account, accounts)  # typed as one class
    limited = create_table_class("Account", bases, _names(accounts), members)
    return cast("type[Account]", limited)


def session_table(
    sessions: type[Table], accounts: type[AccountBase], secret: bytes
) -> type[Session]:
    """Return the sessions of an app that were created with this secret."""
    members = {"accounts": accounts, "secret": secret}
    keyed = create_table_class("Session", (Session,), _names(sessions), members)
    return cast("type[Session]", keyed)


def _names(table: type[Table]) -> dict[str, Any]:
    return {"tablename": table._meta.tablename, "schema": table._meta.schema}
