"""What a rule is, what it finds, and the words that all rules' SQL has in common."""

from dataclasses import dataclass

ROLES = ("partman_app", "partman_api", "partman_auth")
"""The roles that tenant isolation hangs on; without them there is nothing to audit."""


@dataclass(frozen=True)
class Gap:
    """A protection that is missing."""

    rule: str
    object: str
    """What lacks it, as SQL would name it, with its schema."""
    reason: str
    """What is wrong, in one sentence."""
    remedy: str
    """The SQL that closes the gap: complete statements, each ending in a semicolon."""


@dataclass(frozen=True)
class Rule:
    """One protection that every database must have."""

    name: str
    why: str
    """What could happen without it, in one or two sentences."""
    query: str
    """The gaps, as ``object``, ``reason`` and ``remedy``; may use what COMMON defines."""


COMMON = """
WITH RECURSIVE
server AS (
    SELECT current_setting('server_version_num')::int AS version
),
-- The roles whose rights are looked at. A superuser may do everything, which is one gap
-- of the rule role-attributes and not one of every table.
actor AS (
    SELECT 'public' AS role, 'PUBLIC' AS name
    UNION ALL
    SELECT rolname, rolname FROM pg_roles
    WHERE rolname IN ('partman_app', 'partman_api', 'partman_console') AND NOT rolsuper
),
user_schema AS (
    SELECT oid, nspname, quote_ident(nspname) AS name FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
-- What an extension brings is its administrator's, unless the application can get at it.
of_an_extension AS (
    SELECT d.classid, d.objid FROM pg_depend d
    JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE d.deptype = 'e'
        AND NOT EXISTS (
            SELECT FROM actor WHERE has_schema_privilege(actor.role, e.extnamespace, 'USAGE')
        )
),
relation AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relkind, c.relowner, c.reloptions,
           c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c
    JOIN user_schema s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM of_an_extension)
),
routine AS (
    SELECT p.oid, p.oid::regprocedure::text AS name, p.proname, p.proowner, p.prosecdef,
           p.proleakproof, p.proconfig, s.name AS schema
    FROM pg_proc p
    JOIN user_schema s ON s.oid = p.pronamespace
    WHERE (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM of_an_extension)
),
-- What each role may really do, by whatever way it came to it; of a column or of the whole.
held AS (
    SELECT actor.role, actor.name AS actor, r.oid, privilege
    FROM relation r
    CROSS JOIN actor
    CROSS JOIN server
    CROSS JOIN unnest(
        ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']
        || CASE WHEN version >= 170000 THEN ARRAY['MAINTAIN'] END
    ) AS privilege
    WHERE r.relkind <> 'S'
        AND (
            has_table_privilege(actor.role, r.oid, privilege)
            OR CASE WHEN privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
               THEN has_any_column_privilege(actor.role, r.oid, privilege) END
        )
),
-- What a login inherits from partman_app is one gap of the rule role-inherits.
effective AS (
    SELECT * FROM held
    WHERE NOT (
        role IN ('partman_api', 'partman_console')
        AND pg_has_role(role, 'partman_app', 'USAGE')
        AND (oid, privilege) IN (SELECT oid, privilege FROM held WHERE role = 'partman_app')
    )
),
-- What the console keeps of its own accounts. They may name an organization, and are no tenant's.
console AS (
    SELECT oid FROM relation
    WHERE relkind IN ('r', 'p') AND relname IN ('console_accounts', 'console_sessions')
    UNION ALL
    SELECT objid FROM pg_depend
    JOIN relation table_of ON table_of.oid = refobjid AND refclassid = 'pg_class'::regclass
    JOIN relation sequence ON sequence.oid = objid AND classid = 'pg_class'::regclass
    WHERE deptype IN ('a', 'i') AND sequence.relkind = 'S'
        AND table_of.relname IN ('console_accounts', 'console_sessions')
),
-- The tables whose rows belong to tenants, and the column that says to which.
every_tenant_table AS (
    SELECT r.oid, r.name, r.relname, r.relowner, r.relrowsecurity, r.relforcerowsecurity,
           a.attname AS key, a.attnum AS key_number
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped
        AND a.attname = CASE r.relname WHEN 'organizations' THEN 'id' ELSE 'organization_id' END
    WHERE r.relkind IN ('r', 'p') AND r.oid NOT IN (SELECT oid FROM console)
    UNION
    SELECT r.oid, r.name, r.relname, r.relowner, r.relrowsecurity, r.relforcerowsecurity,
           a.attname, a.attnum
    FROM every_tenant_table t
    JOIN pg_inherits i ON i.inhparent = t.oid
    JOIN relation r ON r.oid = i.inhrelid AND r.relkind IN ('r', 'p')
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = t.key
),
tenant AS (
    SELECT t.*,
           EXISTS (
               SELECT FROM pg_inherits i
               JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attname = t.key
               WHERE i.inhrelid = t.oid
           ) AS is_child,
           EXISTS (SELECT FROM effective e WHERE e.oid = t.oid) AS is_reachable
    FROM every_tenant_table t
),
-- Those that need policies. Who reads a partition through its parent is under the parent's.
guarded AS (
    SELECT * FROM tenant WHERE NOT is_child OR (is_reachable AND relrowsecurity)
),
-- Whoever runs the migrations.
owner AS (
    SELECT coalesce(
        (SELECT rolname FROM tenant JOIN pg_roles r ON r.oid = relowner
         WHERE relname = 'organizations' AND rolname NOT IN (SELECT role FROM actor)
         ORDER BY tenant.oid LIMIT 1),
        (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database())
    ) AS rolname
)
"""
