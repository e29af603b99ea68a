"""The console's accounts and sessions, and the role that reaches them and no tenant's rows.

As with the other roles: other databases of the cluster may have it already, and login and password
are a matter for the deployment. Going back drops it only if nothing and nobody needs it any more.
"""

from piccolo.columns import column_types as piccolo
from piccolo.columns.base import OnDelete, OnUpdate
from piccolo.columns.defaults.timestamp import TimestampOffset
from piccolo.columns.defaults.uuid import UUID4
from piccolo.columns.indexes import IndexMethod
from piccolo.constraints import Check, Unique
from piccolo.table import Table

from partman.migration import MigrationManager
from partman.tables.columns import Varchar

ID = "2026-11-24T13:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "console"


class Organization(Table, tablename="organizations", schema=None):
    id = piccolo.UUID(default=UUID4(), primary_key=True)


class ConsoleAccount(Table, tablename="console_accounts", schema=None):
    id = piccolo.Serial(primary_key=True, db_column_name="id")


TO_ITS_ORGANIZATION = {
    "references": Organization,
    "on_update": OnUpdate.no_action,
    "target_column": None,
    "null": True,
    "db_column_name": "organization_id",
}

ACCOUNT = {
    "id": (piccolo.Serial, {"primary_key": True, "db_column_name": "id"}),
    "username": (piccolo.Varchar, {"length": 100, "default": "", "unique": True}),
    "password": (piccolo.Secret, {"length": 255, "default": "", "secret": True}),
    "first_name": (piccolo.Varchar, {"length": 255, "default": "", "null": True}),
    "last_name": (piccolo.Varchar, {"length": 255, "default": "", "null": True}),
    "email": (piccolo.Varchar, {"length": 255, "default": "", "unique": True}),
    "active": (piccolo.Boolean, {"default": False}),
    "admin": (piccolo.Boolean, {"default": False}),
    "superuser": (piccolo.Boolean, {"default": False}),
    "last_login": (piccolo.Timestamp, {"default": None, "null": True}),
    "organization": (piccolo.ForeignKey, TO_ITS_ORGANIZATION | {"on_delete": OnDelete.cascade}),
}

SESSION = {
    "token": (Varchar, {"length": 100, "default": None, "secret": True}),
    "user_id": (
        piccolo.ForeignKey,
        {
            "references": ConsoleAccount,
            "on_delete": OnDelete.cascade,
            "on_update": OnUpdate.no_action,
            "target_column": None,
        },
    ),
    "expiry_date": (
        piccolo.Timestamp,
        {"default": TimestampOffset(days=0, hours=1, minutes=0, seconds=0)},
    ),
    "max_expiry_date": (
        piccolo.Timestamp,
        {"default": TimestampOffset(days=7, hours=0, minutes=0, seconds=0)},
    ),
    "organization": (piccolo.ForeignKey, TO_ITS_ORGANIZATION | {"on_delete": OnDelete.set_null}),
}

CHECKS = {
    "operator_has_no_organization": "superuser = (organization_id IS NULL)",
    "username_is_address": "email = username AND username = lower(username) AND username ~ '.@.'",
    "password_is_hashed": "password ~ '^pbkdf2_sha256[$][0-9]+[$][^$]+[$][0-9a-f]+$'",
}

_RULES = ",\n    ".join(
    f"CONSTRAINT console_accounts_{name} CHECK ({condition})" for name, condition in CHECKS.items()
)

ACCOUNTS = f"""
CREATE TABLE console_accounts (
    id serial PRIMARY KEY,
    username varchar(100) NOT NULL DEFAULT '' UNIQUE,
    password varchar(255) NOT NULL DEFAULT '',
    first_name varchar(255) DEFAULT '',
    last_name varchar(255) DEFAULT '',
    email varchar(255) NOT NULL DEFAULT '' UNIQUE,
    active boolean NOT NULL DEFAULT false,
    admin boolean NOT NULL DEFAULT false,
    superuser boolean NOT NULL DEFAULT false,
    last_login timestamp,
    organization_id uuid REFERENCES organizations (id) ON DELETE CASCADE,
    {_RULES}
)
"""

SESSIONS = """
CREATE TABLE console_sessions (
    id serial PRIMARY KEY,
    token varchar(100) NOT NULL UNIQUE,
    user_id integer NOT NULL REFERENCES console_accounts (id) ON DELETE CASCADE,
    expiry_date timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP + INTERVAL '1 hour',
    max_expiry_date timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP + INTERVAL '7 days',
    organization_id uuid REFERENCES organizations (id) ON DELETE SET NULL
)
"""

ROLE = """
-- the role partman_console, where it is missing
DO $$
DECLARE
    needed text[];
    statement text;
    -- From PostgreSQL 16 on, to become a role and to have its rights are two things.
    newer boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    needed := ARRAY(
        SELECT 'CREATE ROLE partman_console NOLOGIN NOINHERIT'
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'partman_console')
    ) || ARRAY(
        SELECT format('GRANT %I TO %I', role, member)
            || CASE WHEN newer THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END
        FROM (VALUES
            (name 'partman_console', current_user), ('partman_app', 'partman_console')
        ) AS membership (role, member)
        -- Of a role that is not there yet, nobody is a member.
        WHERE CASE WHEN (SELECT count(*) FROM pg_roles WHERE rolname IN (role, member)) = 2
            THEN NOT pg_has_role(member, role, CASE WHEN newer THEN 'SET' ELSE 'MEMBER' END)
            ELSE true
        END
    );

    FOREACH statement IN ARRAY needed LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not do what the console needs', current_user
                USING ERRCODE = 'insufficient_privilege',
                    HINT = 'An administrator runs, in this database: '
                        || array_to_string(needed, '; ') || '. Then run again';
        END;
    END LOOP;
    -- In one step: a role that has rights here is not dropped by a run on another database.
    GRANT USAGE ON SCHEMA public TO partman_console;
EXCEPTION
    WHEN duplicate_object OR unique_violation OR undefined_object THEN
        -- A run on another database of the cluster made it, or dropped it, just now, and what is
        -- needed is something else than a moment ago. The step is tried again, as for a lock.
        RAISE EXCEPTION 'another run is at work on the role partman_console'
        USING ERRCODE = 'lock_not_available';
END
$$
"""

DROP_ROLE = """
-- the role partman_console, where nobody needs it
DO $$
BEGIN
    -- Who may log in as it, or act as it, would lose that without a word.
    IF EXISTS (
        SELECT FROM pg_roles r WHERE rolname = 'partman_console' AND (rolcanlogin OR EXISTS (
            SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member
            WHERE roleid = r.oid AND m.rolname <> current_user
        ))
    ) THEN
        RETURN;
    END IF;
    DROP ROLE partman_console;
EXCEPTION
    WHEN dependent_objects_still_exist OR undefined_object OR insufficient_privilege
        OR internal_error THEN
        NULL;  -- another database needs it, or has just dropped it
END
$$
"""

# The driver calls it when it looks up a type. Where a superuser has set the database up, its owner
# may pass on what it kept.
GIVE_SET_CONFIG = """
-- EXECUTE on set_config
DO $$
BEGIN
    IF has_function_privilege(
        'pg_catalog.set_config(text, text, boolean)', 'EXECUTE WITH GRANT OPTION'
    ) THEN
        GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO partman_console;
    END IF;
END
$$
"""

TAKE_SET_CONFIG = """
-- EXECUTE on set_config
DO $$
BEGIN
    IF has_function_privilege(
        'pg_catalog.set_config(text, text, boolean)', 'EXECUTE WITH GRANT OPTION'
    ) THEN
        REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM partman_console;
    END IF;
END
$$
"""

# What the migrations did. A database that was adopted may not have all of these tables yet.
LET_READ_THE_HISTORY = """
-- SELECT on the ledger and the history
DO $$
DECLARE
    ledger text;
BEGIN
    FOREACH ledger IN ARRAY '{migration, migration_history, migration_step}'::text[] LOOP
        IF to_regclass(ledger) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I TO partman_console', ledger);
        END IF;
    END LOOP;
END
$$
"""

END_SESSIONS = """
CREATE FUNCTION end_console_sessions() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM public.console_sessions WHERE user_id = NEW.id;
    RETURN NULL;
END
$$
"""

END_SESSIONS_TRIGGER = """
CREATE TRIGGER end_sessions AFTER UPDATE ON console_accounts FOR EACH ROW
WHEN (NOT NEW.active OR NOT NEW.admin OR NEW.password IS DISTINCT FROM OLD.password
    OR NEW.organization_id IS DISTINCT FROM OLD.organization_id
    OR NEW.superuser IS DISTINCT FROM OLD.superuser)
EXECUTE FUNCTION end_console_sessions()
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    with manager.done_in_sql():
        _tell_piccolo(manager)

    manager.add_sql(forwards=None, backwards=DROP_ROLE)
    manager.add_sql(
        forwards=ROLE,
        backwards="REVOKE USAGE ON SCHEMA public FROM partman_console",
    )
    manager.add_sql(
        forwards="GRANT EXECUTE ON FUNCTION organization_for_subdomain(text) TO partman_console",
        backwards=(
            "REVOKE EXECUTE ON FUNCTION organization_for_subdomain(text) FROM partman_console"
        ),
    )
    manager.add_sql(
        forwards=LET_READ_THE_HISTORY,
        backwards=LET_READ_THE_HISTORY.replace("GRANT", "REVOKE").replace(" TO ", " FROM "),
    )
    manager.add_sql(forwards=GIVE_SET_CONFIG, backwards=TAKE_SET_CONFIG)
    # The last, so that it is the first going back: where there are accounts, nothing is undone.
    manager.add_sql(
        forwards=[
            ACCOUNTS,
            "CREATE INDEX idx_console_accounts_organization ON console_accounts (organization_id)",
            "GRANT SELECT, UPDATE (password, last_login) ON console_accounts TO partman_console",
            SESSIONS,
            "CREATE INDEX idx_console_sessions_user ON console_sessions (user_id)",
            "CREATE INDEX idx_console_sessions_organization ON console_sessions (organization_id)",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON console_sessions TO partman_console",
            "GRANT USAGE ON SEQUENCE console_sessions_id_seq TO partman_console",
            END_SESSIONS,
            "REVOKE EXECUTE ON FUNCTION end_console_sessions() FROM PUBLIC",
            END_SESSIONS_TRIGGER,
        ],
        backwards=[
            "DROP TABLE console_sessions",
            "DROP TABLE console_accounts",
            "DROP FUNCTION end_console_sessions()",
        ],
    )
    return manager


def _tell_piccolo(manager):
    _table(manager, "ConsoleAccount", "console_accounts", ACCOUNT)
    _table(manager, "ConsoleSession", "console_sessions", SESSION)
    for name, condition in CHECKS.items():
        manager.add_constraint(
            table_class_name="ConsoleAccount",
            tablename="console_accounts",
            constraint_name=f"console_accounts_{name}",
            constraint_class=Check,
            params={"condition": condition},
            schema=None,
        )
    manager.add_constraint(
        table_class_name="ConsoleSession",
        tablename="console_sessions",
        constraint_name="console_sessions_token_key",
        constraint_class=Unique,
        params={"columns": ["token"], "nulls_distinct": True},
        schema=None,
    )


def _table(manager, class_name, table, columns):
    manager.add_table(class_name=class_name, tablename=table, schema=None, columns=None)
    for name, (column_class, params) in columns.items():
        manager.add_column(
            table_class_name=class_name,
            tablename=table,
            column_name=name,
            db_column_name=params.get("db_column_name") or name,
            column_class_name=column_class.__name__,
            column_class=column_class,
            params={
                "null": False,
                "primary_key": False,
                "unique": False,
                "index": False,
                "index_method": IndexMethod.btree,
                "choices": None,
                "db_column_name": None,
                "secret": False,
            }
            | params,
            schema=None,
        )
