"""Keys that all share, disabled triggers, and what a server's administrator may have changed."""

from tests.database.audit_cases.case import Case

_LOGIN = "CREATE ROLE partman_test_login LOGIN;"

_UNIQUE = (
    ("ALTER TABLE users ADD CONSTRAINT k UNIQUE (email)", "k ON public.users"),
    ("CREATE UNIQUE INDEX k ON users (email)", "k ON public.users"),
    (
        "CREATE UNIQUE INDEX k ON partners (lower(domain) DESC) INCLUDE (name)"
        " NULLS NOT DISTINCT WHERE status = '('",
        "k ON public.partners",
    ),
    (
        'ALTER TABLE partners ADD CONSTRAINT "k (" UNIQUE NULLS NOT DISTINCT (website)'
        " INCLUDE (organization_id) DEFERRABLE INITIALLY DEFERRED",
        '"k (" ON public.partners',
    ),
    (
        "ALTER TABLE opportunities ADD CONSTRAINT k EXCLUDE (customer_name WITH =)"
        " WHERE (stage <> '(')",
        "k ON public.opportunities",
    ),
)

SERVER = (
    *(Case("unique-without-tenant", *each) for each in _UNIQUE),
    Case(
        "unique-without-tenant",
        "ALTER TABLE alerts DROP CONSTRAINT alerts_pkey, ADD PRIMARY KEY (title)",
        "alerts_pkey ON public.alerts",
        frozenset({"app-update"}),
    ),
    Case(
        "trigger-disabled",
        "ALTER TABLE partners DISABLE TRIGGER set_updated_at",
        "set_updated_at ON public.partners",
    ),
    Case(
        "trigger-disabled",
        "ALTER TABLE partners ENABLE REPLICA TRIGGER set_updated_at",
        "set_updated_at ON public.partners",
    ),
    Case(
        "trigger-disabled",
        "ALTER TABLE opportunities DISABLE TRIGGER ALL",
        "opportunities_organization_id_partner_id_fkey ON public.opportunities",
        superuser=True,
    ),
    Case(
        "trigger-disabled",
        "ALTER TABLE organizations DISABLE TRIGGER ALL",
        "partners_organization_id_fkey ON public.partners",
        superuser=True,
    ),
    *(
        Case("built-in-leakproof", f"ALTER FUNCTION {function} LEAKPROOF", function, superuser=True)
        for function in (
            "pg_catalog.textlike(text, text)",
            "pg_catalog.numeric_lt(numeric, numeric)",
        )
    ),
    *(
        Case("catalog-rights", f"GRANT {given}", name, superuser=True)
        for given, name in (
            ("SELECT ON pg_catalog.pg_statistic TO partman_app", "pg_catalog.pg_statistic"),
            ("SELECT (stavalues1) ON pg_statistic TO PUBLIC", "pg_catalog.pg_statistic"),
            ("SELECT ON pg_catalog.pg_authid TO partman_seed", "pg_catalog.pg_authid"),
            (
                "EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO partman_api",
                "pg_catalog.pg_read_file(text)",
            ),
        )
    ),
    *(
        Case(
            "role-settings",
            f"ALTER {whose} SET {name} = {value}",
            f"{name} of {whose}",
            superuser=True,
        )
        for whose, name, value in (
            ("ROLE partman_api", "role", "partman_app"),
            ("ROLE partman_console IN DATABASE {database}", "session_authorization", "partman_app"),
            ("DATABASE {database}", "partman.organization_id", "'x'"),
            ("ROLE ALL", "row_security", "off"),
            ("ROLE partman_api", "search_path", "shadow, public"),
            ("ROLE partman_seed", "session_replication_role", "replica"),
            ("DATABASE {database}", "lo_compat_privileges", "on"),
        )
    ),
    Case(
        "role-settings",
        'CREATE SCHEMA partman_api; ALTER ROLE partman_api SET search_path = "$user", public',
        "search_path of ROLE partman_api",
        superuser=True,
    ),
    Case(
        "role-settings",
        "CREATE ROLE partman_test_login LOGIN NOINHERIT; GRANT partman_app TO partman_test_login;"
        "ALTER ROLE partman_test_login SET role = partman_app",
        "role of ROLE partman_test_login",
        superuser=True,
    ),
    *(
        Case("parameter-rights", breaking, name, superuser=True)
        for breaking, name in (
            (
                "GRANT SET ON PARAMETER session_replication_role TO partman_app",
                "session_replication_role",
            ),
            (
                "GRANT ALTER SYSTEM ON PARAMETER log_min_duration_statement TO PUBLIC",
                "log_min_duration_statement",
            ),
            (
                f"{_LOGIN} GRANT SET ON PARAMETER session_replication_role TO partman_test_login",
                "session_replication_role",
            ),
        )
    ),
    Case(
        "inherits-application",
        f"{_LOGIN} GRANT partman_app TO partman_test_login",
        "partman_test_login",
        superuser=True,
    ),
    Case(
        "inherits-application",
        f"{_LOGIN} CREATE ROLE partman_test_group; GRANT partman_app TO partman_test_group;"
        "GRANT partman_test_group TO partman_test_login",
        "partman_test_login",
        superuser=True,
    ),
    *(
        Case("reads-everything", f"{_LOGIN} {given}", "partman_test_login", superuser=True)
        for given in (
            "GRANT pg_read_all_data TO partman_test_login",
            "CREATE ROLE partman_test_group; GRANT pg_write_all_data TO partman_test_group;"
            "GRANT partman_test_group TO partman_test_login",
        )
    ),
    # Among PostgreSQL's own objects, where only a superuser can put anything.
    Case(
        "view",
        "CREATE VIEW information_schema.v AS SELECT * FROM partners;"
        "GRANT SELECT ON information_schema.v TO partman_app",
        "information_schema.v",
        superuser=True,
    ),
    Case(
        "definer-public",
        "CREATE FUNCTION pg_catalog.partman_f() RETURNS int LANGUAGE sql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS 'SELECT 1'",
        "partman_f()",
        frozenset({"definer-owner"}),
        superuser=True,
    ),
    Case(
        "view",
        "CREATE VIEW v AS SELECT * FROM partners; GRANT SELECT ON v TO partman_console",
        "public.v",
        frozenset({"console-rights"}),
    ),
)
