"""The console's accounts and sessions.

They belong to no tenant and are separate from ``users``: the right to change users in the product
does not include the right to decide who signs in here. Only the console's role and the owner have
privileges on them.
"""

from typing import ClassVar

from piccolo.columns import ForeignKey, OnDelete, OnUpdate, Timestamp
from piccolo.columns.defaults.timestamp import TimestampOffset
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.serve.people.account_base import AccountBase
from partman.tables.columns import Varchar
from partman.tables.organization import Organization
from partman.tables.tenancy import TENANCY

_CONSOLE = TENANCY.roles.console

_END_SESSIONS = """\
CREATE FUNCTION end_console_sessions() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.console_sessions WHERE user_id = NEW.id;
    RETURN NULL;
END
$$"""


class ConsoleAccount(AccountBase, tablename="console_accounts"):
    """An account of the console. The username is the e-mail address in lower case.

    With an organization, its admin; without one, a platform operator, who chooses an organization
    in each session.
    """

    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=True,
        db_column_name="organization_id",
    )

    # Deleting an organization must not turn its admin into an operator.
    console_accounts_operator_has_no_organization = Check("superuser = (organization_id IS NULL)")
    console_accounts_username_is_address = Check(
        "email = username AND username = lower(username) AND username ~ '.@.'"
    )
    console_accounts_password_is_hashed = Check(
        "password ~ '^pbkdf2_sha256[$][0-9]+[$][^$]+[$][0-9a-f]+$'"
    )

    personal: ClassVar = {
        "username": "email",
        "email": "email",  # the same one
        "first_name": "name",
        "last_name": "name",
        "password": "= pbkdf2_sha256$1$0$0",
    }

    extras = (
        "CREATE INDEX idx_console_accounts_organization ON console_accounts (organization_id)",
        _END_SESSIONS,
        "REVOKE EXECUTE ON FUNCTION end_console_sessions() FROM PUBLIC",
        # However an account is changed, its sessions end.
        "CREATE TRIGGER end_sessions AFTER UPDATE ON console_accounts FOR EACH ROW\n"
        "WHEN (NOT NEW.active OR NOT NEW.admin OR NEW.password IS DISTINCT FROM OLD.password\n"
        "    OR NEW.organization_id IS DISTINCT FROM OLD.organization_id\n"
        "    OR NEW.superuser IS DISTINCT FROM OLD.superuser)\n"
        "EXECUTE FUNCTION end_console_sessions()",
        f"GRANT SELECT, UPDATE (password, last_login) ON console_accounts TO {_CONSOLE}",
        # Counted before an organization is deleted, which deletes them too.
        f"GRANT SELECT (organization_id) ON console_accounts TO {TENANCY.roles.operator}",
    )


class ConsoleSession(Table, tablename="console_sessions"):
    """A session: the columns of piccolo_api's ``SessionsBase``, and two foreign keys."""

    token = Varchar(length=100, default=None, null=False, secret=True)
    """A keyed hash of the cookie's token; reading this table does not allow to sign in."""
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
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON console_sessions TO {_CONSOLE}",
        f"GRANT USAGE ON SEQUENCE console_sessions_id_seq TO {_CONSOLE}",
    )
