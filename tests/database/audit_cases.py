"""Each protection, taken away: the rule that must notice, and the object that it must name."""

from dataclasses import dataclass

_TENANT = "organization_id = current_setting('partman.organization_id')::uuid"
_WITHOUT_ERROR = "organization_id = current_setting('partman.organization_id', true)::uuid"


@dataclass(frozen=True)
class Case:
    """One way to lose a protection."""

    rule: str
    breaking: str
    object: str
    also: frozenset[str] = frozenset()
    """Other rules that rightly see something in it."""
    superuser: bool = False
    """Whether only a superuser can do it, and undo it."""
    since: int = 15
    """The first PostgreSQL that has it."""

    @property
    def name(self) -> str:
        return f"{self.rule}: {' '.join(self.breaking.split())[:90]}"


def _tenant_policy(definition: str) -> Case:
    return Case(
        "tenant-policy",
        f"DROP POLICY tenant_only ON partners; CREATE POLICY tenant_only ON partners {definition}",
        "public.partners",
    )


_ROW_SECURITY = (
    Case(
        "row-level-security", "ALTER TABLE partners DISABLE ROW LEVEL SECURITY", "public.partners"
    ),
    Case("row-level-security", "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY", "public.alerts"),
    Case(
        "row-level-security",
        "ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY",
        "public.organizations",
    ),
    Case("tenant-policy", "DROP POLICY tenant_only ON partners", "public.partners"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON alerts USING (true)", "public.alerts"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON alerts WITH CHECK (true)", "public.alerts"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON users TO partman_api", "public.users"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON users TO PUBLIC", "public.users"),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT} OR is_active)",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT.replace('organization_id =', 'id =')})",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT.replace('partman.', 'app.')})",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_WITHOUT_ERROR})",
        "public.users",
    ),
    Case("tenant-policy", "DROP POLICY tenant_only ON organizations", "public.organizations"),
    _tenant_policy(f"FOR ALL TO partman_app USING ({_TENANT}) WITH CHECK ({_TENANT})"),
    _tenant_policy(f"AS RESTRICTIVE FOR SELECT TO partman_app USING ({_TENANT})"),
    Case("access-policy", "DROP POLICY tenant_access ON partners", "public.partners"),
    Case(
        "access-policy",
        "DROP POLICY tenant_access ON users;"
        "CREATE POLICY tenant_access ON users FOR SELECT TO partman_app USING (true)",
        "public.users",
    ),
    Case(
        "access-policy",
        "ALTER POLICY tenant_access ON users TO partman_auth",
        "public.users",
        frozenset({"lookup-policy"}),
    ),
    Case("policy-roles", "CREATE POLICY open ON partners USING (true)", "open ON public.partners"),
    Case(
        "policy-roles",
        "ALTER POLICY tenant_access ON users TO partman_app, partman_api",
        "tenant_access ON public.users",
    ),
    Case(
        "lookup-policy",
        "CREATE POLICY peek ON users FOR SELECT TO partman_auth USING (true)",
        "peek ON public.users",
    ),
    Case(
        "lookup-policy",
        "CREATE POLICY peek ON users FOR SELECT TO partman_auth USING (is_active)",
        "peek ON public.users",
    ),
    Case(
        "lookup-policy",
        "ALTER POLICY auth_lookup ON organizations USING (true)",
        "auth_lookup ON public.organizations",
    ),
    Case(
        "partition",
        "CREATE TABLE archive () INHERITS (partners); GRANT SELECT ON archive TO partman_app",
        "public.archive",
    ),
    Case(
        "partition",
        "CREATE TABLE former () INHERITS (organizations); GRANT SELECT (name) ON former TO PUBLIC",
        "public.former",
        frozenset({"rights-outside-a-tenant"}),
    ),
    Case(
        "tenant-policy",
        "CREATE TABLE archive () INHERITS (partners); GRANT SELECT ON archive TO partman_app;"
        "ALTER TABLE archive ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
        "public.archive",
        frozenset({"access-policy"}),
    ),
)

_RIGHTS = (
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

_OPPORTUNITIES = (
    "ALTER TABLE opportunities DROP CONSTRAINT opportunities_organization_id_partner_id_fkey"
)

_KEYS = (
    Case(
        "foreign-key-without-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (partner_id) REFERENCES partners (id)",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        f"{_OPPORTUNITIES}; ALTER TABLE partners ADD UNIQUE (id, organization_id);"
        "ALTER TABLE opportunities ADD CONSTRAINT k FOREIGN KEY (partner_id, organization_id)"
        " REFERENCES partners (id, organization_id) ON DELETE SET NULL (partner_id)",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE opportunities ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES alerts",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE users ADD home uuid CONSTRAINT k REFERENCES organizations",
        "k ON public.users",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE alerts ADD CONSTRAINT k FOREIGN KEY (organization_id) REFERENCES partners",
        "k ON public.alerts",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE organizations ADD owner uuid CONSTRAINT k REFERENCES users ON DELETE SET NULL",
        "k ON public.organizations",
    ),
    Case(
        "foreign-key-clears-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (organization_id, partner_id)"
        " REFERENCES partners (organization_id, id) ON DELETE SET NULL",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-clears-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (organization_id, partner_id)"
        " REFERENCES partners (organization_id, id) ON UPDATE SET NULL",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-clears-tenant",
        "ALTER TABLE alerts ADD CONSTRAINT k FOREIGN KEY (organization_id)"
        " REFERENCES organizations ON DELETE SET DEFAULT",
        "k ON public.alerts",
    ),
    Case(
        "foreign-key-without-index",
        "DROP INDEX idx_opportunities_partner",
        "opportunities_organization_id_partner_id_fkey ON public.opportunities",
    ),
    Case(
        "foreign-key-without-index",
        "DROP INDEX idx_opportunities_partner;"
        "CREATE INDEX part ON opportunities (organization_id, partner_id) WHERE status = 'open'",
        "opportunities_organization_id_partner_id_fkey ON public.opportunities",
    ),
    *(
        Case(
            "foreign-key-without-index",
            f"DROP INDEX idx_opportunities_partner; CREATE INDEX part ON opportunities {form}",
            "opportunities_organization_id_partner_id_fkey ON public.opportunities",
        )
        for form in (
            "USING brin (organization_id, partner_id)",
            "(stage, organization_id, partner_id)",
        )
    ),
    Case(
        "foreign-key-without-index",
        "CREATE TABLE colors (id int PRIMARY KEY);"
        "CREATE TABLE things (color int REFERENCES colors)",
        "things_color_fkey ON public.things",
    ),
)

_INDEXES = (
    Case(
        "duplicate-index",
        "CREATE INDEX copy ON users (organization_id, email)",
        "public.copy",
    ),
    Case("duplicate-index", "CREATE UNIQUE INDEX copy ON organizations (id)", "public.copy"),
    Case(
        "duplicate-index",
        "CREATE INDEX copy ON opportunities (organization_id, stage)",
        "public.copy",
    ),
    Case(
        "duplicate-index",
        "ALTER TABLE partners ADD CONSTRAINT copy UNIQUE (organization_id, id)",
        "public.copy",
    ),
    # Which of two goes is decided by what hangs on them, before their age is.
    Case(
        "duplicate-index",
        "CREATE TABLE things (id int CONSTRAINT first UNIQUE);"
        "ALTER TABLE things ADD PRIMARY KEY (id)",
        "public.first",
    ),
    *(
        Case(
            "duplicate-index",
            f"CREATE TABLE things (id int); CREATE {older} ON things (id); {newer}",
            "public.older",
        )
        for older, newer in (
            ("UNIQUE INDEX older", "ALTER TABLE things ADD CONSTRAINT newer UNIQUE (id)"),
            ("INDEX older", "CREATE UNIQUE INDEX newer ON things (id)"),
        )
    ),
)

_VIEWS = (
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

_DEFINER = (
    "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql SECURITY DEFINER"
    " SET search_path = pg_catalog, pg_temp RETURN n;"
    "REVOKE EXECUTE ON FUNCTION f FROM PUBLIC;"
    "ALTER FUNCTION f OWNER TO partman_auth;"
)

_FUNCTIONS = (
    Case(
        "definer-search-path",
        f"{_DEFINER} ALTER FUNCTION f RESET search_path",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-search-path",
        f'{_DEFINER} ALTER FUNCTION f SET search_path = "$user", public, pg_temp',
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
        f"{_DEFINER} ALTER FUNCTION f OWNER TO postgres",
        "public.f(integer)",
        superuser=True,
    ),
    Case(
        "definer-owner",
        # The first superuser of a server bypasses row level security by name as well.
        f"{_DEFINER} CREATE ROLE partman_test_super SUPERUSER NOBYPASSRLS;"
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

_ROLES = (
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
    Case("role-inherits", "ALTER ROLE partman_api INHERIT", "partman_api", superuser=True),
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
        frozenset({"app-rights", "app-update"}),
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
)

_DATABASE = (
    Case("database-rights", "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC", "{database}"),
    Case("database-rights", "GRANT TEMPORARY ON DATABASE {database} TO partman_app", "{database}"),
    Case("database-rights", "GRANT CREATE ON DATABASE {database} TO partman_api", "{database}"),
    Case("schema-create", "GRANT CREATE ON SCHEMA public TO PUBLIC", "public"),
    Case("schema-create", "CREATE SCHEMA x; GRANT CREATE ON SCHEMA x TO partman_app", "x"),
    Case("schema-usage", "GRANT USAGE ON SCHEMA public TO PUBLIC", "public"),
)

_CONSOLE = (
    *(
        Case("console-tables", f"GRANT {right} TO {role}", f"public.{name}", superuser=True)
        for right, name, role in (
            ("SELECT ON console_accounts", "console_accounts", "partman_app"),
            ("SELECT (username) ON console_accounts", "console_accounts", "partman_api"),
            ("UPDATE (password) ON console_accounts", "console_accounts", "PUBLIC"),
            ("SELECT ON console_accounts", "console_accounts", "partman_seed"),
            ("DELETE ON console_sessions", "console_sessions", "partman_auth"),
            ("ALL ON console_sessions", "console_sessions", "partman_app"),
            ("ALL ON console_sessions", "console_sessions", "PUBLIC"),
            ("ALL ON console_sessions", "console_sessions", "pg_monitor"),
            (
                "USAGE ON SEQUENCE console_sessions_id_seq",
                "console_sessions_id_seq",
                "partman_app",
            ),
            ("SELECT ON SEQUENCE console_accounts_id_seq", "console_accounts_id_seq", "PUBLIC"),
        )
    ),
    *(
        Case("console-rights", f"GRANT {right} TO partman_console", f"public.{name}")
        for right, name in (
            ("SELECT ON partners", "partners"),
            ("SELECT (id) ON organizations", "organizations"),
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

CASES = (
    *_ROW_SECURITY,
    *_RIGHTS,
    *_KEYS,
    *_INDEXES,
    *_VIEWS,
    *_FUNCTIONS,
    *_ROLES,
    *_DATABASE,
    *_CONSOLE,
)
"""All of them. An index that is not valid takes more than a statement: see test_audit.py."""

NO_GAPS = (
    "CREATE POLICY narrower ON partners AS RESTRICTIVE FOR UPDATE USING (status = 'active')",
    "CREATE POLICY wider ON partners TO partman_app USING (true)",
    "GRANT SELECT (name), INSERT (name) ON partners TO partman_app",
    "CREATE TABLE archive () INHERITS (partners)",
    "CREATE VIEW names WITH (security_invoker = on) AS SELECT name FROM partners;"
    "GRANT SELECT ON names TO partman_app",
    "CREATE VIEW numbers AS SELECT count(*) FROM partners",
    "CREATE MATERIALIZED VIEW numbers AS SELECT count(*) FROM partners",
    "CREATE TABLE counters (n int GENERATED ALWAYS AS IDENTITY, s serial)",
    # No copies: shorter, partial, in another order, unique in another way.
    "CREATE INDEX i ON partners (organization_id)",
    "CREATE INDEX i ON users (organization_id, email) WHERE is_active",
    "CREATE INDEX i ON users (email, organization_id)",
    "CREATE INDEX i ON users (organization_id, email DESC)",
    "CREATE UNIQUE INDEX i ON partners (organization_id, id) NULLS NOT DISTINCT",
    "CREATE UNIQUE INDEX i ON opportunities (organization_id, id, stage)",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO partman_seed",
    "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO PUBLIC",
    "GRANT SELECT ON partners TO partman_seed",
    _DEFINER,
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER ROLE partman_app LOGIN; ALTER ROLE partman_api LOGIN",
    "CREATE EXTENSION citext SCHEMA public",
    # As a deployment lets in whoever serves the console.
    "CREATE ROLE partman_test_login LOGIN; GRANT partman_console TO partman_test_login",
    "ALTER ROLE partman_console LOGIN",
)
"""What a careless audit would report."""
