"""The base class of an app's account table. Needs no package of the service.

An app that offers a console derives its own table from it, which is registered and migrated like
any other. The service uses accounts only through this class.
"""

import asyncio
import hmac
from datetime import UTC, datetime

from piccolo.apps.user.tables import BaseUser

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 128
"""Characters."""

_ITERATIONS = 600_000
"""Iterations of PBKDF2-SHA256, as OWASP recommends; equal for all accounts, because the time would
otherwise reveal which addresses have an account.
"""

_NOBODYS_HASH = f"pbkdf2_sha256${_ITERATIONS}${'0' * 32}${'0' * 64}"
"""The hash that a password is compared with if there is no account."""


class Proven(int):
    """The ID of an account whose password was verified."""

    stored: str
    """The hash that the password was compared with."""

    def __new__(cls, account: int, stored: str) -> "Proven":
        """Store the account's ID and the hash."""
        self = super().__new__(cls, account)
        self.stored = stored
        return self


class AccountBase(BaseUser):
    """An account that may sign in to the console. The username is the e-mail address in lower case.

    A platform operator is a ``superuser``, and chooses a tenant in each session. Any other account
    is the admin of one tenant: the app's class adds a foreign key to the table of the tenants,
    which is NULL for an operator. Only accounts that are ``active`` and ``admin`` may sign in.

    The app's tables must end an account's sessions by a trigger when its password or its rights
    change, however the change is made.
    """

    _min_password_length = SHORTEST_PASSWORD
    _max_password_length = LONGEST_PASSWORD
    _pbkdf2_iteration_count = _ITERATIONS

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the account's ID and note the time (UTC), if the password is correct.

        None for a wrong password, an unknown address and a disabled account: the three cannot be
        told apart, and take the same time. The event loop is not blocked.
        """
        proven = await cls.prove(username, password)
        return proven if proven is not None and await cls.note_login(proven) else None

    @classmethod
    async def prove(cls, username: str, password: str) -> Proven | None:
        """Verify a password as login() does, without changing anything."""
        is_text = is_storable(username) and is_storable(password)
        if not is_text or len(password) > LONGEST_PASSWORD:
            return None
        found = (
            await cls.select(cls.id, cls.password, cls.active)
            .where(cls.username == address_of(username))
            .first()
        )
        stored: str = found["password"] if found else _NOBODYS_HASH
        is_password = await asyncio.to_thread(cls._is_password, password, stored)
        if found is None or not is_password or not found["active"]:
            return None
        return Proven(found["id"], stored)

    @classmethod
    async def note_login(cls, proven: Proven) -> bool:
        """Note the time. False if the password was changed since, or the account is disabled.

        Neither is possible until the transaction ends.
        """
        noted = (
            await cls.update({cls.last_login: datetime.now(UTC).replace(tzinfo=None)})
            .where(cls.id == int(proven), cls.password == proven.stored, cls.active.eq(True))
            .returning(cls.id)
        )
        return bool(noted)

    @classmethod
    def _is_password(cls, password: str, stored: str) -> bool:
        _, iterations, salt, _ = cls.split_stored_password(stored)
        return hmac.compare_digest(cls.hash_password(password, salt, int(iterations)), stored)


def address_of(text: str) -> str:
    """Return an address in lower case, as accounts store it."""
    return text.strip().lower()


def is_storable(text: str) -> bool:
    """Whether PostgreSQL accepts the text: a request may contain NUL or a lone surrogate."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
