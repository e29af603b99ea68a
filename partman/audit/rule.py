"""What a rule is, what it finds, and the words that all rules' SQL has in common."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from partman.grammar.names import literal
from partman.isolation import Tenancy


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
    tables: tuple[str, ...] = ()
    """The tables whose rows on another node it is about."""


@dataclass(frozen=True)
class Rule:
    """One protection that every database must have."""

    name: str
    why: str
    """What could happen without it, in one or two sentences."""
    query: str
    """The gaps, as ``object``, ``reason`` and ``remedy``; may use what common() defines."""


def is_one_of(value: str, names: Iterable[str]) -> str:
    """Return the condition that a value is one of some names, of which there may be none."""
    listed = ", ".join(literal(name) for name in names)
    return f"{value} IN ({listed})" if listed else "false"


def common(
    tenancy: Tenancy,
    without_tenant: Collection[str],
    global_keys: Mapping[str, Collection[str]],
) -> str:
    """Return the WITH clause that each query is put after.

    ``without_tenant`` are the names of tables whose rows are no tenant's, whatever they refer to.
    ``global_keys`` are, by table, the unique keys that hold for all tenants on purpose.
    """
    keys = [(table, name) for table, names in global_keys.items() for name in names]
    listed_keys = ", ".join(f"({literal(table)}, {literal(name)})" for table, name in sorted(keys))
    roles = tenancy.roles
    return f"""
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
    WHERE {is_one_of("rolname", (roles.app, *roles.logins))} AND NOT rolsuper
),
user_schema AS (
    SELECT oid, nspname, quote_ident(nspname) AS name FROM pg_namespace
    WHERE nspname !~ '^pg_(catalog|toast|temp)' AND nspname <> 'information_schema'
),
-- Where PostgreSQL's own objects are. Those that initdb made have a lower OID than any other.
of_postgres AS (
    SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema')
),
-- What an extension brings is its administrator's, unless the application can get at it.
of_an_extension AS (
    SELECT d.classid, d.objid FROM pg_depend d
    JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE d.deptype = 'e'
        AND (e.extnamespace IN (SELECT oid FROM of_postgres) OR NOT EXISTS (
            SELECT FROM actor WHERE has_schema_privilege(actor.role, e.extnamespace, 'USAGE')
        ))
),
relation AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relkind, c.relowner, c.reloptions,
           c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND (
            c.relnamespace IN (SELECT oid FROM user_schema)
            OR c.oid >= 16384 AND c.relnamespace IN (SELECT oid FROM of_postgres)
        )
        AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM of_an_extension)
),
routine AS (
    SELECT p.oid, p.oid::regprocedure::text AS name, p.proname, p.proowner, p.proacl, p.prosecdef,
           p.proleakproof, p.proconfig, s.name AS schema
    FROM pg_proc p
    JOIN (
        SELECT oid, name FROM user_schema
        UNION ALL
        SELECT oid, oid::regnamespace::text FROM of_postgres
    ) AS s ON s.oid = p.pronamespace
    WHERE (p.oid >= 16384 OR p.pronamespace NOT IN (SELECT oid FROM of_postgres))
        AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM of_an_extension)
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
-- What a login inherits from the app role is one gap of the rule role-inherits.
effective AS (
    SELECT * FROM held
    WHERE NOT (
        {is_one_of("role", roles.logins)}
        AND pg_has_role(role, '{roles.app}', 'USAGE')
        AND (oid, privilege) IN (SELECT oid, privilege FROM held WHERE role = '{roles.app}')
    )
),
-- The sequences that number a column's rows, and the tables of these columns.
numbering AS (
    SELECT objid AS oid, refobjid AS of_table, deptype = 'i' AS is_identity FROM pg_depend
    JOIN relation ON oid = objid AND relkind = 'S'
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND deptype IN ('a', 'i')
),
-- Tables, with their sequences, whose rows are no tenant's, whatever they refer to.
without_tenant AS (
    SELECT oid FROM relation
    WHERE relkind IN ('r', 'p') AND {is_one_of("relname", sorted(without_tenant))}
    UNION ALL
    SELECT numbering.oid FROM numbering
    JOIN relation ON relation.oid = of_table
    WHERE {is_one_of("relname", sorted(without_tenant))}
),
global_key (of_table, name) AS (
    {f"VALUES {listed_keys}" if keys else "SELECT NULL::name, NULL::name WHERE false"}
),
-- The tables whose rows belong to tenants, and the column that says to which.
every_tenant_table AS (
    SELECT r.oid, r.name, r.relname, r.relowner, r.relrowsecurity, r.relforcerowsecurity,
           a.attname AS key, a.attnum AS key_number
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped
        AND a.attname =
            CASE r.relname WHEN '{tenancy.table}' THEN 'id' ELSE '{tenancy.column}' END
    WHERE r.relkind IN ('r', 'p') AND r.oid NOT IN (SELECT oid FROM without_tenant)
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
         WHERE relname = '{tenancy.table}' AND rolname NOT IN (SELECT role FROM actor)
         ORDER BY tenant.oid LIMIT 1),
        (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database())
    ) AS rolname
)
"""
