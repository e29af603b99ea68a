"""Roles that may more than they should."""

from partman.isolation.logins import let_log_in
from tests.database.audit_cases.case import Case

ROLES = (
    *(
        Case("role-attributes", f"ALTER ROLE {role} {attribute}", role, also, superuser=True)
        for role, attribute, also in (
            ("partman_app", "SUPERUSER", frozenset[str]()),
            ("partman_app", "BYPASSRLS", frozenset[str]()),
            ("partman_api", "CREATEROLE", frozenset[str]()),
            ("partman_api", "CREATEDB", frozenset[str]()),
            # It owns the lookup function.
            ("partman_auth", "BYPASSRLS", frozenset({"definer-owner"})),
            ("partman_auth", "REPLICATION", frozenset[str]()),
        )
    ),
    Case(
        "role-inherits",
        "ALTER ROLE partman_api INHERIT",
        "partman_api",
        superuser=True,
        # Before PostgreSQL 16, it is the role that inherits, and not each of its memberships.
        also=frozenset({"operator-inherits", "rights-outside-a-tenant"}),
    ),
    Case(
        "role-inherits",
        "GRANT partman_app TO partman_api WITH INHERIT TRUE",
        "partman_api",
        superuser=True,
        since=16,
    ),
    Case("role-membership", "GRANT partman_auth TO partman_api", "partman_api", superuser=True),
    Case("role-membership", "GRANT pg_read_all_data TO partman_app", "partman_app", superuser=True),
    Case(
        "role-membership",
        "GRANT partman_app TO partman_api WITH ADMIN OPTION",
        "partman_api",
        superuser=True,
    ),
    Case(
        "owned-by-application",
        "ALTER TABLE partners OWNER TO partman_app",
        "public.partners",
        frozenset({"app-rights", "app-update"}),
        superuser=True,
    ),
    Case(
        "owned-by-application",
        "ALTER TABLE organizations OWNER TO partman_app",
        "public.organizations",
        frozenset({"app-rights", "app-update", "organization-update"}),
        superuser=True,
    ),
    Case(
        "owned-by-application",
        "CREATE VIEW numbers WITH (security_invoker) AS SELECT 1 AS one;"
        "ALTER VIEW numbers OWNER TO partman_auth",
        "public.numbers",
        superuser=True,
    ),
    Case(
        "owned-by-application",
        "CREATE SCHEMA theirs AUTHORIZATION partman_api",
        "theirs",
        frozenset({"schema-create"}),
        superuser=True,
    ),
    *(
        Case(
            "login-settings",
            f"{let_log_in(role)}; {breaking}",
            f"{setting} of ROLE {role}",
            superuser=True,
        )
        for role, setting, breaking in (
            (
                "partman_api",
                "idle_in_transaction_session_timeout",
                "ALTER ROLE partman_api RESET idle_in_transaction_session_timeout",
            ),
            ("partman_console", "lock_timeout", "ALTER ROLE partman_console SET lock_timeout = 0"),
            ("partman_api", "work_mem", "ALTER ROLE partman_api SET work_mem = 4096"),
            (
                "partman_api",
                "lock_timeout",
                "ALTER ROLE partman_api IN DATABASE {database} SET lock_timeout = '0ms'",
            ),
        )
    ),
    Case(
        "login-connect",
        f"{let_log_in('partman_api')};REVOKE CONNECT ON DATABASE {{database}} FROM PUBLIC",
        "{database}",
        superuser=True,
    ),
    Case(
        "login-connect",
        f"{let_log_in('partman_api')}; {let_log_in('partman_console')};"
        "ALTER ROLE partman_seed LOGIN",
        "{database}",
        superuser=True,
    ),
)
