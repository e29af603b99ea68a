"""Piccolo's session authentication, over the tables that an app declares for its console."""

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


class Account(AccountBase):
    """An account that can be tried only so often. To be named before the app's own class."""

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


class Session(SessionsBase):
    """A session, kept under a keyed hash of its token: the table lets nobody in.

    Of the app's table it has the columns that Piccolo knows, so that what is saved with it leaves
    the chosen tenant as it is.
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
            if not await cls.accounts.note_login(user_id):
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


def account_table(accounts: type[AccountBase]) -> type[Account]:
    """Return an app's accounts, with a count of attempts of their own."""
    members = {"attempts": limit(ATTEMPTS_OF_ADDRESS)}
    bases: Any = (Account, accounts)  # typed as one class
    limited = create_table_class("Account", bases, _names(accounts), members)
    return cast("type[Account]", limited)


def session_table(
    sessions: type[Table], accounts: type[AccountBase], secret: bytes
) -> type[Session]:
    """Return those of an app's sessions that were begun with this secret."""
    members = {"accounts": accounts, "secret": secret}
    keyed = create_table_class("Session", (Session,), _names(sessions), members)
    return cast("type[Session]", keyed)


def _names(table: type[Table]) -> dict[str, Any]:
    return {"tablename": table._meta.tablename, "schema": table._meta.schema}
