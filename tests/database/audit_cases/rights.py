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
