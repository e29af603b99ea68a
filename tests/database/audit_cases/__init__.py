"""Each protection, taken away: the rule that must notice, and the object that it must name."""

from partman.isolation.logins import let_log_in
from tests.database.audit_cases.case import Case
from tests.database.audit_cases.code import DEFINER, FUNCTIONS, REWRITE_RULES, VIEWS
from tests.database.audit_cases.console import CONSOLE
from tests.database.audit_cases.keys import INDEXES, KEYS, NOT_VALID
from tests.database.audit_cases.operator import OPERATOR
from tests.database.audit_cases.rights import DATABASE, GRANT_OPTIONS, RIGHTS
from tests.database.audit_cases.roles import ROLES
from tests.database.audit_cases.row_security import ROW_SECURITY
from tests.database.audit_cases.server import SERVER

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
    *SERVER,
    *OPERATOR,
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
    "ALTER ROLE partman_app LOGIN;" + let_log_in("partman_api"),
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
    let_log_in("partman_console"),
    let_log_in("partman_api").replace("16MB", "16384")
    + "; ALTER ROLE partman_api SET lock_timeout = 1",
    # The settings of the database serve as well.
    "ALTER ROLE partman_api LOGIN; ALTER ROLE ALL SET idle_in_transaction_session_timeout = '1min';"
    "ALTER ROLE ALL SET lock_timeout = '5s'; ALTER ROLE ALL SET work_mem = '1GB'",
    # What a row is known by is no value that a tenant chooses.
    "CREATE UNIQUE INDEX i ON partners (id, domain)",
    "CREATE ROLE partman_test_login LOGIN NOINHERIT; GRANT partman_app TO partman_test_login",
    "CREATE ROLE partman_test_group; GRANT partman_app TO partman_test_group;"
    "CREATE ROLE partman_test_super SUPERUSER LOGIN; GRANT pg_read_all_data TO partman_test_super",
    # As docker/roles.sql sets them, and what is harmless.
    "ALTER ROLE partman_api SET search_path = public; ALTER ROLE partman_api SET work_mem = '16MB';"
    "ALTER ROLE partman_console SET idle_in_transaction_session_timeout = '30s'",
    """ALTER ROLE partman_api SET search_path = "$user", public, pg_temp""",
    "ALTER ROLE partman_api SET role = 'none'; ALTER ROLE ALL SET row_security = on",
    "CREATE ROLE partman_test_login LOGIN; ALTER ROLE partman_test_login SET search_path = x;"
    "GRANT SET ON PARAMETER log_min_duration_statement TO partman_test_login",
    "GRANT SET ON PARAMETER partman.organization_id, work_mem TO partman_app",
    "REVOKE SELECT ON pg_catalog.pg_stats FROM PUBLIC; GRANT SELECT ON pg_stats TO partman_app",
    "GRANT EXECUTE ON FUNCTION pg_catalog.now() TO partman_app",
    "ALTER TABLE partners ENABLE ALWAYS TRIGGER set_updated_at",
    "CREATE TABLE colors (id int UNIQUE); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON colors FOR EACH ROW"
    " EXECUTE FUNCTION f(); ALTER TABLE colors DISABLE TRIGGER t",
)
"""What a careless audit would report."""
