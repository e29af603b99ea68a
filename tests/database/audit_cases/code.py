"""Views and functions that see more than whoever uses them."""

from tests.database.audit_cases.case import Case

VIEWS = (
    Case(
        "view",
        "CREATE VIEW names AS SELECT name FROM partners; GRANT SELECT ON names TO partman_app",
        "public.names",
    ),
    Case(
        "view",
        "CREATE VIEW names WITH (security_invoker = off) AS SELECT name FROM partners;"
        "GRANT SELECT (name) ON names TO partman_app",
        "public.names",
    ),
    Case(
        "materialized-view",
        "CREATE MATERIALIZED VIEW totals AS SELECT 1 AS one; GRANT SELECT ON totals TO partman_app",
        "public.totals",
    ),
    Case(
        "materialized-view",
        "CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other;"
        "CREATE FOREIGN TABLE elsewhere (n int) SERVER other;"
        "GRANT SELECT ON elsewhere TO partman_app",
        "public.elsewhere",
        superuser=True,
    ),
)

REWRITE_RULES = (
    *(
        Case("rewrite-rule", f"CREATE RULE r AS ON {event} TO {table} DO {action}", name)
        for event, table, action, name in (
            ("UPDATE", "partners", "ALSO UPDATE alerts SET title = ''", "r ON public.partners"),
            ("DELETE", "users", "INSTEAD NOTHING", "r ON public.users"),
            ("INSERT", "console_sessions", "ALSO NOTIFY x", "r ON public.console_sessions"),
        )
    ),
    Case(
        "rewrite-rule",
        "REVOKE ALL ON alerts FROM partman_app; CREATE RULE r AS ON DELETE TO alerts DO NOTHING",
        "r ON public.alerts",
    ),
    Case(
        "rewrite-rule",
        "CREATE VIEW names WITH (security_invoker) AS SELECT name FROM partners;"
        "GRANT INSERT ON names TO partman_app;"
        "CREATE RULE r AS ON INSERT TO names DO INSTEAD NOTHING",
        "r ON public.names",
    ),
)

DEFINER = (
    "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql SECURITY DEFINER"
    " SET search_path = pg_catalog, pg_temp RETURN n;"
    "REVOKE EXECUTE ON FUNCTION f FROM PUBLIC;"
    "ALTER FUNCTION f OWNER TO partman_auth;"
)

FUNCTIONS = (
    Case(
        "definer-search-path",
        f"{DEFINER} ALTER FUNCTION f RESET search_path",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-search-path",
        f'{DEFINER} ALTER FUNCTION f SET search_path = "$user", public, pg_temp',
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-search-path",
        "SET ROLE partman_auth; ALTER FUNCTION organization_for_subdomain SET search_path = '';"
        "RESET ROLE",
        "public.organization_for_subdomain(text)",
    ),
    Case(
        "definer-owner",
        f"{DEFINER} ALTER FUNCTION f OWNER TO postgres",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-owner",
        # The first superuser of a server bypasses row level security by name as well.
        f"{DEFINER} CREATE ROLE partman_test_super SUPERUSER NOBYPASSRLS;"
        "ALTER FUNCTION f OWNER TO partman_test_super",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-owner",
        "CREATE PROCEDURE p() LANGUAGE sql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS ''; REVOKE EXECUTE ON PROCEDURE p FROM PUBLIC",
        "public.p()",
    ),
    Case(
        "definer-owner",
        "ALTER FUNCTION organization_for_subdomain OWNER TO {owner}",
        "public.organization_for_subdomain(text)",
        superuser=True,
    ),
    Case(
        "definer-owner",
        "ALTER FUNCTION active_organizations OWNER TO {owner}",
        "public.active_organizations(text,integer,integer)",
        superuser=True,
    ),
    *(
        Case(
            "organization-names",
            f"SET ROLE partman_auth; GRANT EXECUTE ON FUNCTION active_organizations TO {role};"
            "RESET ROLE",
            "public.active_organizations(text,integer,integer)",
        )
        for role in ("partman_api", "partman_app")
    ),
    Case(
        "definer-public",
        "SET ROLE partman_auth; GRANT EXECUTE ON FUNCTION organization_for_subdomain TO PUBLIC;"
        "RESET ROLE",
        "public.organization_for_subdomain(text)",
    ),
    Case(
        "leakproof",
        "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql LEAKPROOF IMMUTABLE RETURN n",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "set-config",
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config TO PUBLIC",
        "pg_catalog.set_config(text, text, boolean)",
        superuser=True,
    ),
    Case(
        "set-config",
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config TO partman_app",
        "pg_catalog.set_config(text, text, boolean)",
        superuser=True,
    ),
    Case(
        "set-config",
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config TO partman_app",
        "pg_catalog.set_config(text, text, boolean)",
    ),
)
