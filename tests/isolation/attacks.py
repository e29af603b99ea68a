"""Statements of a tenant that try to reach another tenant's rows.

``{victim}`` is the other tenant, ``{partner}`` a partner of the other tenant, ``{me}`` the tenant.
"""

PERMISSION, UNDER_POLICIES, NO_SUCH_ROW = "42501", "0A000", "23503"

REFUSED: dict[str, tuple[str, str]] = {
    # An object that hides the real one
    "a temporary table shadows the real one": (
        "CREATE TEMPORARY TABLE partners (LIKE partners)", PERMISSION,
    ),
    "a temporary view shadows the real one": (
        "CREATE TEMPORARY VIEW partners AS SELECT 1", PERMISSION,
    ),
    "a temporary function leaks what it is given": (
        "CREATE FUNCTION pg_temp.leak(text) RETURNS bool COST 0.0001 LANGUAGE plpgsql"
        " AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'", PERMISSION,
    ),
    "a function in public leaks what it is given": (
        "CREATE FUNCTION public.leak(text) RETURNS bool COST 0.0001 LANGUAGE plpgsql"
        " AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'", PERMISSION,
    ),
    "a table in public": ("CREATE TABLE public.loot (name text)", PERMISSION),
    "a table from a query": ("CREATE TABLE public.loot AS SELECT * FROM partners", PERMISSION),
    "a table by select into": ("SELECT * INTO public.loot FROM partners", PERMISSION),
    "a schema in front of public": ("CREATE SCHEMA theirs", PERMISSION),
    "an extension": ("CREATE EXTENSION dblink", PERMISSION),
    # The table itself
    "row level security switched off for the table": (
        "ALTER TABLE partners DISABLE ROW LEVEL SECURITY", PERMISSION,
    ),
    "a policy added": ("CREATE POLICY mine ON partners USING (true)", PERMISSION),
    "the policy dropped": ("DROP POLICY tenant_only ON partners", PERMISSION),
    "a trigger on others' changes": (
        "CREATE TRIGGER spy AFTER INSERT ON partners EXECUTE FUNCTION set_updated_at()", PERMISSION,
    ),
    "a rule on others' changes": (
        "CREATE RULE spy AS ON INSERT TO partners DO ALSO NOTIFY spy", PERMISSION,
    ),
    "an index whose expression leaks": ("CREATE INDEX ON partners (lower(name))", PERMISSION),
    "a right given to PUBLIC": ("GRANT SELECT ON migration TO PUBLIC", PERMISSION),
    "truncate": ("TRUNCATE partners CASCADE", PERMISSION),
    # Another role
    "the owner's role": ("SET LOCAL ROLE {owner}", PERMISSION),
    "the lookup's role": ("SET LOCAL ROLE partman_auth", PERMISSION),
    "the role of the seeds": ("SET LOCAL ROLE partman_seed", PERMISSION),
    "the owner's session": ("SET LOCAL SESSION AUTHORIZATION {owner}", PERMISSION),
    "a role that bypasses": ("ALTER ROLE partman_app BYPASSRLS", PERMISSION),
    "a membership": ("GRANT {owner} TO partman_app", PERMISSION),
    "what the role owns given to the login": (
        "REASSIGN OWNED BY partman_app TO partman_api", PERMISSION,
    ),
    "the login's defaults": ("ALTER ROLE partman_api SET role = 'partman_app'", PERMISSION),
    "the database's defaults": ("ALTER DATABASE {database} SET row_security = off", PERMISSION),
    # Features of the server
    "statistics of values": ("SELECT stavalues1 FROM pg_statistic", PERMISSION),
    "extended statistics of values": ("SELECT stxdmcv FROM pg_statistic_ext_data", PERMISSION),
    "the toast table": ("SELECT * FROM pg_toast.pg_toast_{oid}", PERMISSION),
    "a file of the server": ("SELECT pg_read_file('PG_VERSION')", PERMISSION),
    "a file of the server by copy": ("COPY partners (name) FROM '/etc/passwd'", PERMISSION),
    "a program of the server": ("COPY (SELECT 1) TO PROGRAM 'cat'", PERMISSION),
    "a large object from a file": ("SELECT lo_import('/etc/passwd')", PERMISSION),
    "large objects of others": ("SELECT data FROM pg_largeobject", PERMISSION),
    "passwords": ("SELECT rolpassword FROM pg_authid", PERMISSION),
    # Bookkeeping, and tables that all tenants share
    "the report on all organizations": ("SELECT * FROM report_organizations", PERMISSION),
    "the ledger": ("SELECT * FROM migration", PERMISSION),
    "the history": ("SELECT * FROM migration_history", PERMISSION),
    "a sequence": ("SELECT last_value FROM migration_history_id_seq", PERMISSION),
    "the current of a sequence": ("SELECT currval('migration_history_id_seq')", PERMISSION),
    "the next of a sequence": ("SELECT nextval('migration_history_id_seq')", PERMISSION),
    "the lookup of organizations": ("SELECT organization_for_subdomain('default')", PERMISSION),
    # Keys
    "a subdomain that is taken, by insert": (
        "INSERT INTO organizations (name, subdomain) VALUES ('n', {subdomain})"
        " ON CONFLICT (subdomain) DO NOTHING", PERMISSION,
    ),
    "a subdomain that is taken, by update": (
        "UPDATE organizations SET subdomain = {subdomain}", PERMISSION,
    ),
    "a reference to another's row": (
        "INSERT INTO opportunities"
        " (organization_id, partner_id, customer_name, deal_value, stage, expected_close_date)"
        " VALUES ('{me}', {partner}, 'c', 1, 's', '2026-01-01')", NO_SUCH_ROW,
    ),
    "a row for another": (
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " VALUES ('{victim}', 'n', 'd', '{{}}')", PERMISSION,
    ),
    "a row moved to another": ("UPDATE partners SET organization_id = '{victim}'", PERMISSION),
    "a row moved to another by merge": (
        "MERGE INTO partners USING (SELECT 1) AS s ON true"
        " WHEN MATCHED THEN UPDATE SET organization_id = '{victim}'", PERMISSION,
    ),
    "a row given another's key": ("UPDATE partners SET id = {partner}", PERMISSION),
    "another's row by on conflict do update": (
        "INSERT INTO partners (id, organization_id, name, domain, commission_structure)"
        " VALUES ({partner}, '{me}', 'n', 'd', '{{}}')"
        " ON CONFLICT (id) DO UPDATE SET name = 'stolen' RETURNING name", PERMISSION,
    ),
    # A text that is run as a statement within an expression
    "a tenant chosen by query_to_xml": (
        "SELECT query_to_xml($$SET LOCAL partman.organization_id = '{victim}'$$, true, false, '')",
        UNDER_POLICIES,
    ),
    "a tenant chosen by ts_stat": (
        "SELECT * FROM ts_stat($$SET LOCAL partman.organization_id = '{victim}'$$)", "42P11",
    ),
}  # fmt: skip
"""By name: the statement, and the SQLSTATE of its error."""

BY_SET_CONFIG: dict[str, str] = {
    "in a condition": "SELECT name FROM partners"
    " WHERE set_config('partman.organization_id', '{victim}', true) IS NOT NULL",
    "in a subquery that comes first": "WITH chosen AS MATERIALIZED"
    " (SELECT set_config('partman.organization_id', '{victim}', true) AS id)"
    " SELECT name FROM chosen, LATERAL (SELECT name FROM partners WHERE chosen.id <> '') AS p",
    "of the role": "SELECT set_config('role', 'none', true)",
    "by way of the view pg_settings": "UPDATE pg_settings SET setting = 'off'"
    " WHERE name = 'row_security'",
    "in a query that is a text": "SELECT query_to_xml("
    "$$SELECT set_config('partman.organization_id', '{victim}', true)$$, true, false, '')",
}

BLIND: dict[str, str] = {
    "a condition that is always true": "SELECT name FROM partners WHERE name = '' OR true",
    "a union": "SELECT name FROM users u, LATERAL (SELECT u.email AS name) AS n"
    " UNION ALL SELECT name FROM partners WHERE organization_id = '{victim}'",
    "a subquery": "SELECT (SELECT string_agg(name, ',') FROM partners"
    " WHERE organization_id = '{victim}')",
    "an exists": "SELECT 'there' WHERE EXISTS (SELECT 1 FROM partners WHERE id = {partner})",
    "a self join": "SELECT v.name FROM partners p"
    " JOIN partners v ON v.organization_id = '{victim}'",
    "a lateral join": "SELECT v.name FROM organizations o,"
    " LATERAL (SELECT name FROM partners WHERE organization_id <> o.id) AS v",
    "a recursive query": "WITH RECURSIVE r AS (SELECT name FROM partners UNION"
    " SELECT p.name FROM partners p, r) SELECT name FROM r",
    "a sample": "SELECT name FROM partners TABLESAMPLE SYSTEM (100)",
    "only, without what inherits": "SELECT name FROM ONLY partners",
    "system columns": "SELECT ctid::text || tableoid::text || name FROM partners"
    " WHERE organization_id = '{victim}'",
    "a cast that fails on another's row": "SELECT name FROM partners"
    " WHERE organization_id = '{victim}' AND name::int = 0",
    "a division that fails on another's row": "SELECT name FROM partners"
    " WHERE organization_id = '{victim}' AND 1 / (length(name) - length(name)) = 0",
    "an operator that fails on another's row": "SELECT name FROM partners"
    " WHERE organization_id = '{victim}' AND name::jsonb @> '1'",
    "an order by that fails": "SELECT name FROM partners WHERE organization_id = '{victim}'"
    " ORDER BY name::int",
    "a join in an update": "UPDATE partners p SET name = v.name FROM partners v"
    " WHERE v.organization_id = '{victim}' RETURNING p.name",
    "a join in a delete": "DELETE FROM partners p USING partners v"
    " WHERE v.organization_id = '{victim}' RETURNING v.name",
    "another's row by update returning": "UPDATE partners SET name = 'x' WHERE id = {partner}"
    " RETURNING name",
    "another's row by delete returning": "DELETE FROM partners WHERE id = {partner} RETURNING name",
    "another's row by a writing subquery": "WITH d AS (DELETE FROM partners"
    " WHERE organization_id = '{victim}' RETURNING name) SELECT name FROM d",
    "another's row locked": "SELECT name FROM partners WHERE id = {partner} FOR UPDATE",
    "a query that is a text": "SELECT query_to_xml($$SELECT name FROM partners"
    " WHERE organization_id = '{victim}'$$, true, false, '')::text",
    "words of a query that is a text": "SELECT word FROM ts_stat($$SELECT to_tsvector(name)"
    " FROM partners WHERE organization_id = '{victim}'$$)",
    "most common values": "SELECT most_common_vals::text FROM pg_stats"
    " WHERE schemaname = 'public' AND tablename = 'partners'",
    "most common values of several columns": "SELECT most_common_vals::text FROM pg_stats_ext",
    "a merge with another's rows": "MERGE INTO partners p USING (SELECT '{victim}'::uuid AS v) AS s"
    " ON p.organization_id = s.v WHEN MATCHED THEN UPDATE SET name = 'stolen'",
    "a right taken from all": "REVOKE SELECT ON partners FROM partman_app",
    "other organizations": "SELECT subdomain FROM organizations WHERE id <> '{me}'",
}
"""By name: a statement that may run, and must not reveal another tenant's rows."""
