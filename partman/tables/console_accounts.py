"""The console's accounts and sessions: who may look after organizations, and who does right now.

They are no tenant's rows, and no rows of ``users``: whoever may change users in the product must
not thereby decide who signs in here. Only the console's role, and the owner, reach them.
"""

import asyncio
import hmac
from datetime import UTC, datetime

from piccolo.apps.user.tables import BaseUser
from piccolo.columns import ForeignKey, OnDelete, OnUpdate, Timestamp
from piccolo.columns.defaults.timestamp import TimestampOffset
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.tables.columns import Varchar
from partman.tables.isolation import CONSOLE
from partman.tables.organization import Organization

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 128
"""Characters."""

_ITERATIONS = 600_000
"""Of PBKDF2-SHA256, as OWASP asks; the same for all, or the time would tell who has an account."""

_NOBODYS_HASH = f"pbkdf2_sha256${_ITERATIONS}${'0' * 32}${'0' * 64}"
"""What a password is held against when there is no account."""

_END_SESSIONS = """\
CREATE FUNCTION end_console_sessions() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.console_sessions WHERE user_id = NEW.id;
    RETURN NULL;
END
$$"""


class Proven(int):
    """The ID of an account whose password was given."""

    stored: str
    """The hash that the password was held against."""

    def __new__(cls, account: int, stored: str) -> "Proven":
        """Take an account's ID, and the hash."""
        self = super().__new__(cls, account)
        self.stored = stored
        return self


class ConsoleAccount(BaseUser, tablename="console_accounts"):
    """Somebody who may sign in to the console. The username is the e-mail address, in lower case.

    With an organization, its admin. Without one a platform operator, who chooses an organization
    in each session.
    """

    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="organization_id",
    )

    # Nobody becomes an operator because an organization goes.
    console_accounts_operator_has_no_organization = Check("superuser = (organization_id IS NULL)")
    console_accounts_username_is_address = Check(
        "email = username AND username = lower(username) AND username ~ '.@.'"
    )
    console_accounts_password_is_hashed = Check(
        "password ~ '^pbkdf2_sha256[$][0-9]+[$][^$]+[$][0-9a-f]+$'"
    )

    extras = (
        "CREATE INDEX idx_console_accounts_organization ON console_accounts (organization_id)",
        _END_SESSIONS,
        "REVOKE EXECUTE ON FUNCTION end_console_sessions() FROM PUBLIC",
        # Whoever changes them, by whichever way: a session ends with what it was opened with.
        "CREATE TRIGGER end_sessions AFTER UPDATE ON console_accounts FOR EACH ROW\n"
        "WHEN (NOT NEW.active OR NOT NEW.admin OR NEW.password IS DISTINCT FROM OLD.password\n"
        "    OR NEW.organization_id IS DISTINCT FROM OLD.organization_id\n"
        "    OR NEW.superuser IS DISTINCT FROM OLD.superuser)\n"
        "EXECUTE FUNCTION end_console_sessions()",
        f"GRANT SELECT, UPDATE (password, last_login) ON console_accounts TO {CONSOLE}",
    )

    _min_password_length = SHORTEST_PASSWORD
    _max_password_length = LONGEST_PASSWORD
    _pbkdf2_iteration_count = _ITERATIONS

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Return the account's ID, and note the time (UTC), if the password is the account's.

        None for a wrong password, an address that has no account, and an account that is
        disabled: nobody can tell which, and it takes as long. The event loop goes on meanwhile.
        """
        proven = await cls.prove(username, password)
        return proven if proven is not None and await cls.note_login(proven) else None

    @classmethod
    async def prove(cls, username: str, password: str) -> "Proven | None":
        """Hold a password against the account's, as login() does. Changes nothing."""
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
    async def note_login(cls, proven: "Proven") -> bool:
        """Note the time. False if the password was changed meanwhile, or the account is disabled.

        Until the transaction ends, neither can be done.
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


class ConsoleSession(Table, tablename="console_sessions"):
    """Somebody who has signed in: the columns of piccolo_api's ``SessionsBase``, and two keys."""

    token = Varchar(length=100, default=None, null=False, secret=True)
    """A keyed hash of the cookie's token; who reads this table can sign in as nobody."""
    user_id = ForeignKey(
        ConsoleAccount, on_delete=OnDelete.cascade, on_update=OnUpdate.no_action, null=False
    )
    expiry_date = Timestamp(default=TimestampOffset(hours=1), null=False)
    max_expiry_date = Timestamp(default=TimestampOffset(days=7), null=False)
    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.set_null,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="organization_id",
        help_text="What an operator has chosen in this session.",
    )

    console_sessions_token_key = Unique(["token"])

    extras = (
        "CREATE INDEX idx_console_sessions_user ON console_sessions (user_id)",
        "CREATE INDEX idx_console_sessions_organization ON console_sessions (organization_id)",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON console_sessions TO {CONSOLE}",
        f"GRANT USAGE ON SEQUENCE console_sessions_id_seq TO {CONSOLE}",
    )


def address_of(text: str) -> str:
    """Return an address as accounts have it: who types it with capitals is the same person."""
    return text.strip().lower()


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes it: what a request says may hold a NUL, or half a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
