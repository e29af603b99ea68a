"""The console: its accounts, and what its role may do."""

from tests.database.audit_cases.case import Case

_ACCOUNTS, _SESSIONS = "console_accounts", "console_sessions"

CONSOLE = (
    *(
        Case(rule, f"GRANT {right} TO {role}", f"public.{name}", frozenset({also}), superuser=True)
        for rule, right, name, role, also in (
            ("table-without-tenant", "SELECT ON console_accounts", _ACCOUNTS, "partman_app", ""),
            (
                "rights-outside-a-tenant",
                "SELECT (username) ON console_accounts",
                _ACCOUNTS,
                "partman_api",
                "",
            ),
            (
                "rights-outside-a-tenant",
                "UPDATE (password) ON console_accounts",
                _ACCOUNTS,
                "PUBLIC",
                "table-without-tenant",
            ),
            ("console-tables", "SELECT ON console_accounts", _ACCOUNTS, "partman_seed", ""),
            ("console-tables", "DELETE ON console_sessions", _SESSIONS, "partman_auth", ""),
            ("table-without-tenant", "ALL ON console_sessions", _SESSIONS, "partman_app", ""),
            (
                "rights-outside-a-tenant",
                "ALL ON console_sessions",
                _SESSIONS,
                "PUBLIC",
                "table-without-tenant",
            ),
            ("console-tables", "ALL ON console_sessions", _SESSIONS, "pg_monitor", ""),
            (
                "sequence",
                "USAGE ON SEQUENCE console_sessions_id_seq",
                f"{_SESSIONS}_id_seq",
                "partman_app",
                "",
            ),
            (
                "sequence",
                "SELECT ON SEQUENCE console_accounts_id_seq",
                f"{_ACCOUNTS}_id_seq",
                "PUBLIC",
                "",
            ),
            (
                "console-tables",
                "SELECT ON SEQUENCE console_accounts_id_seq",
                f"{_ACCOUNTS}_id_seq",
                "partman_seed",
                "",
            ),
        )
    ),
    *(
        Case("rights-outside-a-tenant", f"GRANT {right} TO partman_console", f"public.{name}")
        for right, name in (
            ("SELECT ON partners", "partners"),
            ("SELECT (id) ON organizations", "organizations"),
        )
    ),
    *(
        Case("console-rights", f"GRANT {right} TO partman_console", f"public.{name}")
        for right, name in (
            ("INSERT, DELETE ON console_accounts", "console_accounts"),
            ("UPDATE ON console_accounts", "console_accounts"),
            ("UPDATE (superuser) ON console_accounts", "console_accounts"),
            ("TRUNCATE ON console_sessions", "console_sessions"),
            ("INSERT ON migration_history", "migration_history"),
        )
    ),
    Case(
        "policy-roles",
        "ALTER POLICY tenant_access ON users TO partman_app, partman_console",
        "tenant_access ON public.users",
    ),
    Case("sequence", "CREATE SEQUENCE n; GRANT USAGE ON SEQUENCE n TO partman_console", "public.n"),
    Case(
        "default-privileges",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO partman_console",
        "default privileges of {owner}",
    ),
    Case(
        "role-attributes",
        "ALTER ROLE partman_console BYPASSRLS",
        "partman_console",
        superuser=True,
    ),
    Case("role-inherits", "ALTER ROLE partman_console INHERIT", "partman_console", superuser=True),
    Case(
        "role-inherits",
        "GRANT partman_app TO partman_console WITH INHERIT TRUE",
        "partman_console",
        superuser=True,
        since=16,
    ),
    *(
        Case("role-membership", f"GRANT {role} TO {member}", member, superuser=True)
        for role, member in (
            ("partman_auth", "partman_console"),
            ("partman_console", "partman_api"),
            ("partman_console", "partman_seed"),
        )
    ),
    Case(
        "owned-by-application",
        "CREATE SCHEMA theirs AUTHORIZATION partman_console",
        "theirs",
        frozenset({"schema-create"}),
        superuser=True,
    ),
    Case("database-rights", "GRANT CREATE ON DATABASE {database} TO partman_console", "{database}"),
    Case("schema-create", "GRANT CREATE ON SCHEMA public TO partman_console", "public"),
)
