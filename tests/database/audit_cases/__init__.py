"""Each protection, taken away: the rule that must notice, and the object that it must name."""

from tests.database.audit_cases.case import Case
from tests.database.audit_cases.code import DEFINER, FUNCTIONS, REWRITE_RULES, VIEWS
from tests.database.audit_cases.console import CONSOLE
from tests.database.audit_cases.keys import INDEXES, KEYS, NOT_VALID
from tests.database.audit_cases.rights import DATABASE, GRANT_OPTIONS, RIGHTS
from tests.database.audit_cases.roles import ROLES
from tests.database.audit_cases.row_security import ROW_SECURITY

CASES: tuple[Case, ...] = (
    *ROW_SECURITY,
    *GRANT_OPTIONS,
    *RIGHTS,
    *KEYS,
    *NOT_VALID,
    *INDEXES,
    *VIEWS,
    *REWRITE_RULES,
    *FUNCTIONS,
    *ROLES,
    *DATABASE,
    *CONSOLE,
)
"""All of them but for indexes that are not valid: see test_audit_indexes.py."""

NO_GAPS = (
    "CREATE POLICY narrower ON partners AS RESTRICTIVE FOR UPDATE USING (status = 'active')",
    "CREATE POLICY again ON partners FOR INSERT TO partman_app"
    " WITH CHECK (organization_id = current_setting('partman.organization_id')::uuid)",
    "CREATE ROLE partman_test_reports; CREATE POLICY reports ON partners FOR SELECT"
    " TO partman_test_reports USING (true)",
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
    DEFINER,
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER ROLE partman_app LOGIN; ALTER ROLE partman_api LOGIN",
    "CREATE EXTENSION citext SCHEMA public",
    "CREATE ROLE partman_test_admin; GRANT SELECT ON partners TO partman_test_admin"
    " WITH GRANT OPTION; GRANT USAGE ON SCHEMA public TO partman_test_admin WITH GRANT OPTION",
    "GRANT SELECT (website) ON partners TO partman_app WITH GRANT OPTION;"
    "ALTER TABLE partners DROP website",
    # A rule on what no tenant reaches, and a constraint of a table that is no tenant's.
    "CREATE VIEW numbers AS SELECT 1 AS one; CREATE RULE r AS ON INSERT TO numbers"
    " DO INSTEAD NOTHING",
    "CREATE TABLE colors (id int); ALTER TABLE colors ADD CHECK (id > 0) NOT VALID",
    # As a deployment lets in whoever serves the console.
    "CREATE ROLE partman_test_login LOGIN; GRANT partman_console TO partman_test_login",
    "ALTER ROLE partman_console LOGIN",
)
"""What a careless audit would report."""
