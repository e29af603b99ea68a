"""Rights that are too many: with tables, columns, sequences, the database and its schemas."""

from tests.database.audit_cases.case import Case

RIGHTS = (
    Case("app-rights", "GRANT TRUNCATE ON partners TO partman_app", "public.partners"),
    Case("app-rights", "GRANT REFERENCES ON partners TO partman_app", "public.partners"),
    Case("app-rights", "GRANT REFERENCES (id) ON partners TO partman_app", "public.partners"),
    Case("app-rights", "GRANT TRIGGER ON partners TO partman_app", "public.partners"),
    Case("app-rights", "GRANT MAINTAIN ON partners TO partman_app", "public.partners", since=17),
    Case("app-rights", "GRANT INSERT ON organizations TO partman_app", "public.organizations"),
    Case(
        "app-rights", "GRANT INSERT (name) ON organizations TO partman_app", "public.organizations"
    ),
    Case("app-rights", "GRANT DELETE ON organizations TO partman_app", "public.organizations"),
    Case(
        "app-rights",
        "GRANT TRUNCATE ON partners TO PUBLIC",
        "public.partners",
        frozenset({"rights-outside-a-tenant"}),
    ),
    Case("app-update", "GRANT UPDATE ON partners TO partman_app", "public.partners"),
    Case("app-update", "GRANT UPDATE (id) ON partners TO partman_app", "public.partners"),
    Case(
        "app-update", "GRANT UPDATE (organization_id) ON partners TO partman_app", "public.partners"
    ),
    Case(
        "app-update",
        "GRANT UPDATE (subdomain) ON organizations TO partman_app",
        "public.organizations",
    ),
    Case(
        "app-update",
        "CREATE UNIQUE INDEX i ON organizations (lower(name))",
        "public.organizations",
    ),
    Case(
        "organization-update",
        "GRANT UPDATE (is_active) ON organizations TO partman_app",
        "public.organizations",
    ),
    Case("rights-outside-a-tenant", "GRANT SELECT ON users TO partman_api", "public.users"),
    Case("rights-outside-a-tenant", "GRANT SELECT (email) ON users TO PUBLIC", "public.users"),
    Case(
        "rights-outside-a-tenant",
        "CREATE VIEW numbers WITH (security_invoker) AS SELECT 1 AS one;"
        "GRANT SELECT ON numbers TO partman_api",
        "public.numbers",
    ),
    Case(
        "table-without-tenant",
        "CREATE TABLE countries (code text); GRANT SELECT ON countries TO partman_app",
        "public.countries",
    ),
    Case("table-without-tenant", "GRANT SELECT ON migration TO partman_app", "public.migration"),
    Case(
        "table-without-tenant",
        "GRANT INSERT ON migration_history TO partman_app",
        "public.migration_history",
    ),
    Case("sequence", "CREATE SEQUENCE n; GRANT USAGE ON SEQUENCE n TO partman_app", "public.n"),
    Case("sequence", "CREATE SEQUENCE n; GRANT SELECT ON SEQUENCE n TO PUBLIC", "public.n"),
    Case(
        "default-privileges",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
        " GRANT SELECT ON TABLES TO partman_app",
        "default privileges of {owner} in public",
    ),
    Case(
        "default-privileges",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO PUBLIC",
        "default privileges of {owner}",
    ),
    Case(
        "default-privileges",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SEQUENCES TO partman_app",
        "default privileges of {owner}",
    ),
)

DATABASE = (
    Case("database-rights", "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "{database}"),
    Case("database-rights", "GRANT TEMPORARY ON DATABASE {database} TO partman_app", "{database}"),
    Case("database-rights", "GRANT CREATE ON DATABASE {database} TO partman_api", "{database}"),
    Case("schema-create", "GRANT CREATE ON SCHEMA public TO PUBLIC", "public"),
    Case("schema-create", "CREATE SCHEMA x; GRANT CREATE ON SCHEMA x TO partman_app", "x"),
    Case("schema-usage", "GRANT USAGE ON SCHEMA public TO PUBLIC", "public"),
)

GRANT_OPTIONS = (
    *(
        Case("grant-option", f"GRANT {right} TO {role} WITH GRANT OPTION", name)
        for right, role, name in (
            ("SELECT ON partners", "partman_app", "public.partners"),
            ("UPDATE (name), UPDATE (status) ON partners", "partman_app", "public.partners"),
            ("SELECT (id) ON organizations", "partman_auth", "public.organizations"),
            ("DELETE ON users", "partman_seed", "public.users"),
            ("SELECT ON console_accounts", "partman_console", "public.console_accounts"),
            (
                "USAGE ON SEQUENCE console_sessions_id_seq",
                "partman_console",
                "public.console_sessions_id_seq",
            ),
            ("USAGE ON SCHEMA public", "partman_api", "public"),
            ("CONNECT ON DATABASE {database}", "partman_api", "{database}"),
            (
                "EXECUTE ON FUNCTION pg_catalog.set_config",
                "partman_api",
                "pg_catalog.set_config(text,text,boolean)",
            ),
        )
    ),
    Case(
        "grant-option",
        "SET ROLE partman_auth;"
        "GRANT EXECUTE ON FUNCTION organization_for_subdomain TO partman_api WITH GRANT OPTION;"
        "RESET ROLE",
        "public.organization_for_subdomain(text)",
    ),
    # By somebody else than the owner, who can take back only what he gave himself.
    Case(
        "grant-option",
        "CREATE ROLE partman_test_admin; GRANT USAGE ON SCHEMA public TO partman_test_admin;"
        "GRANT SELECT ON partners TO partman_test_admin WITH GRANT OPTION;"
        "SET ROLE partman_test_admin;"
        "GRANT SELECT ON partners TO partman_app WITH GRANT OPTION; RESET ROLE",
        "public.partners",
        superuser=True,
    ),
    # What was passed on goes too: from role to role, and for a column of what was the table's.
    Case(
        "grant-option",
        "GRANT SELECT ON partners TO partman_app WITH GRANT OPTION; SET ROLE partman_app;"
        "GRANT SELECT ON partners TO partman_api WITH GRANT OPTION; SET ROLE partman_api;"
        "GRANT SELECT ON partners TO PUBLIC; RESET ROLE",
        "public.partners",
        frozenset({"rights-outside-a-tenant"}),
        superuser=True,
    ),
    Case(
        "grant-option",
        "GRANT SELECT ON partners TO partman_app WITH GRANT OPTION; SET ROLE partman_app;"
        "GRANT SELECT (id) ON partners TO partman_api; RESET ROLE",
        "public.partners",
        frozenset({"rights-outside-a-tenant"}),
    ),
    Case(
        "grant-option",
        "GRANT SELECT ON partners TO partman_app WITH GRANT OPTION;"
        "GRANT SELECT (id) ON partners TO partman_app; SET ROLE partman_app;"
        "GRANT SELECT (id) ON partners TO PUBLIC; RESET ROLE;"
        "REVOKE GRANT OPTION FOR SELECT ON partners FROM partman_app CASCADE;"
        "GRANT SELECT (id) ON partners TO partman_app",
        "public.partners",
        frozenset({"rights-outside-a-tenant"}),
    ),
    # Where a REVOKE without CASCADE would fail.
    Case(
        "grant-option",
        "GRANT TRUNCATE ON partners TO partman_app WITH GRANT OPTION; SET ROLE partman_app;"
        "GRANT TRUNCATE ON partners TO partman_api; RESET ROLE",
        "public.partners",
        frozenset({"app-rights", "rights-outside-a-tenant"}),
    ),
)
