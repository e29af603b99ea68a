"""Piccolo's session authentication, over the console's accounts."""

import asyncio
import hashlib
import hmac
import logging
import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider, RateLimitError
from piccolo_api.session_auth.tables import SessionsBase
from starlette.exceptions import HTTPException

from partman.tables.console_accounts import ConsoleAccount, Proven, address_of

logger = logging.getLogger("partman.serve")

IDLE = timedelta(hours=1)
"""How long a session lasts that nobody uses."""
PROLONGED = timedelta(minutes=20)
"""By how much a session is prolonged that is in use."""
LONGEST = timedelta(hours=12)
"""How long a session lasts, however it is used: a working day."""

COOKIE = "id"
"""The name that Piccolo Admin gives the cookie with the session's token."""

WINDOW = 300
"""Seconds in which attempts to sign in are counted, and for which too many are answered no."""
ATTEMPTS_OF_ADDRESS = 10
"""On one account, from wherever."""
ATTEMPTS_OF_CLIENT = 20
"""From one client, on whichever accounts."""
_LONGEST_ADDRESS = 100
"""Characters that are kept of what somebody has tried."""


def limit(attempts: int) -> InMemoryLimitProvider:
    """Return a limit to the attempts to sign in, which each instance counts for itself."""
    return InMemoryLimitProvider(timespan=WINDOW, limit=attempts, block_duration=WINDOW)


class Account(ConsoleAccount, tablename="console_accounts"):
    """An account that can be tried only so often."""

    attempts: ClassVar[InMemoryLimitProvider]

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the account's ID; None for a wrong password, and for one attempt too many."""
        try:
            cls.attempts.increment(address_of(username)[:_LONGEST_ADDRESS])
        except RateLimitError:
            logger.warning("Too many attempts to sign in to one account.")
            return None
        return await cls.prove(username, password)

    @classmethod
    async def update_password(cls, user: str | int, password: str) -> None:
        """Set the password of the account with this ID, while the event loop goes on.

        Raises HTTPException for one that will not do: Piccolo's endpoints expect that of nothing.
        """
        try:
            cls._validate_password(password)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        if await cls.exists().where(cls.id == user, cls.username == address_of(password)):
            raise HTTPException(422, "The password is the address.")
        hashed = await asyncio.to_thread(cls.hash_password, password)
        await cls.update({cls.password: hashed}).where(cls.id == user)


class Session(SessionsBase, tablename="console_sessions"):
    """A session, kept under a keyed hash of its token: the table lets nobody in."""

    secret: ClassVar[bytes]

    @classmethod
    async def create_session(
        cls,
        user_id: int,
        expiry_date: datetime | None = None,
        max_expiry_date: datetime | None = None,
    ) -> "Session":
        """Begin a session, and forget those that are over. Returns it with its real token.

        Raises HTTPException where the password is another one since it was proven: its change has
        ended all sessions, and would not have seen this one.
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
            if not await ConsoleAccount.note_login(user_id):
                raise HTTPException(401, "Login failed")
            await session.save()
        session.token = token
        return session

    @classmethod
    async def get_user_id(cls, token: str, increase_expiry: timedelta | None = None) -> int | None:
        """Return whose session it is; None if it is over."""
        return await super().get_user_id(cls.keyed(token), increase_expiry)

    @classmethod
    async def remove_session(cls, token: str) -> None:
        """End a session."""
        await super().remove_session(cls.keyed(token))

    @classmethod
    def keyed(cls, token: str) -> str:
        """Return what the table holds in place of the token."""
        return hmac.new(cls.secret, token.encode(), hashlib.sha256).hexdigest()


def account_table() -> type[Account]:
    """Return the accounts, with a count of attempts of their own."""

    class Counted(Account, tablename="console_accounts"):
        attempts = limit(ATTEMPTS_OF_ADDRESS)

    return Counted


def session_table(secret: bytes) -> type[Session]:
    """Return the sessions that were begun with this secret."""

    class Keyed(Session, tablename="console_sessions"):
        pass

    Keyed.secret = secret
    return Keyed
