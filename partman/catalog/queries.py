"""The query that reads the catalog: one statement, so one snapshot and one round trip.

Each of QUERIES returns rows for one class of the model, with the class's fields as columns. The
statement combines them as JSON. Run it with an empty ``search_path``, so that every name is
qualified. ``$1``: names of tables and functions to leave out. ``$2``: the role that counts as the
owner; if NULL, the owner of Piccolo's ledger, who runs the migrations, or else of the database.
"""

import functools
from collections.abc import Collection, Mapping
from typing import Final

from partman.catalog import grant_queries, model, other_queries, rare_kinds, table_queries
from partman.catalog.constraint_queries import CONSTRAINT, INDEX
from partman.catalog.dependency_query import dependency_query
from partman.catalog.query_words import (
    ACCESS_METHOD,
    CLUSTERED_ON,
    FIRST_USER_OID,
    OF_RELATION,
    OPTIONS,
    VIEW_COLUMNS,
    depends_on,
    each,
    enabled,
    independent,
    not_of_extension,
    parent,
    role,
)

_COMMON = f"""
WITH owner AS MATERIALIZED (
    SELECT coalesce(
        to_regrole(quote_ident($2))::oid,
        (SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = 'migration' AND c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%'
         ORDER BY n.nspname <> 'public', n.nspname LIMIT 1),
        (SELECT datdba FROM pg_database WHERE datname = current_database())
    ) AS oid
),
space AS MATERIALIZED (
    SELECT oid, quote_ident(nspname) AS name, nspowner, nspacl
    FROM pg_namespace n
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
),
left_out AS MATERIALIZED (
    SELECT oid FROM pg_class WHERE relname::text = ANY ($1::text[])
        AND relkind IN ('r', 'p') AND oid >= {FIRST_USER_OID}
),
relation AS MATERIALIZED (
    SELECT c.*, n.name AS space, n.name || '.' || quote_ident(c.relname) AS name,
        CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
            WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind
    FROM space n CROSS JOIN LATERAL (
        SELECT oid, relname, relkind, relowner, relacl, reloptions, relpersistence,
            relrowsecurity, relforcerowsecurity, relreplident, relispartition, relpartbound,
            relam, reloftype, reltype, reltoastrelid, relispopulated
        FROM pg_class
        WHERE relnamespace = n.oid AND relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
            AND oid >= {FIRST_USER_OID}
    ) c
    WHERE {not_of_extension("pg_class", "c.oid")}
        AND c.oid NOT IN (SELECT oid FROM left_out)
        -- Nor the sequence of a column of such a table.
        AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                AND d.refobjid IN (SELECT oid FROM left_out) OFFSET 0)
),
type AS MATERIALIZED (
    SELECT t.*, n.name AS space, n.name || '.' || quote_ident(t.typname) AS name,
        CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END AS kind
    FROM space n JOIN pg_type t ON t.typnamespace = n.oid
    WHERE t.oid >= {FIRST_USER_OID} AND (t.typtype IN ('e', 'd', 'r')
            -- Composite types, but not the row types of tables.
            OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
        AND {not_of_extension("pg_type", "t.oid")}
),
function AS MATERIALIZED (
    SELECT p.*, n.name AS space, p.oid::regprocedure::text AS name,
        CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate'
            ELSE 'function' END AS kind
    FROM space n CROSS JOIN LATERAL (
        SELECT oid, prokind, proowner, proacl, proparallel FROM pg_proc
        WHERE pronamespace = n.oid AND proname::text <> ALL ($1::text[])
            AND oid >= {FIRST_USER_OID}
    ) p
    WHERE {independent("pg_proc", "p.oid")}
)
"""

_SCHEMA = f"""
    SELECT 'schema' AS kind, n.name, {role("n.nspowner")} AS owner,
        obj_description(n.oid, 'pg_namespace') AS comment
    FROM space n WHERE {not_of_extension("pg_namespace", "n.oid")}
"""

_EXTENSION = """
    SELECT 'extension' AS kind, quote_ident(extname) AS name,
        extnamespace::regnamespace::text AS schema, extversion AS version
    FROM pg_extension
"""

_ENUM = f"""
    SELECT t.kind, t.name, {parent("'schema'", "t.space")}, {role("t.typowner")} AS owner,
        ARRAY(SELECT enumlabel FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
            AS labels,
        obj_description(t.oid, 'pg_type') AS comment
    FROM type t WHERE t.typtype = 'e'
"""

_DOMAIN = f"""
    SELECT t.kind, t.name, {parent("'schema'", "t.space")}, {role("t.typowner")} AS owner,
        format_type(t.typbasetype, t.typtypmod) AS type, t.typnotnull AS not_null,
        pg_get_expr(t.typdefaultbin, 0) AS default,
        quote_ident(k.conname) AS null_constraint,
        CASE WHEN k.conname <> t.typname || '_not_null' THEN quote_ident(k.conname) END
            AS null_name,
        obj_description(k.oid, 'pg_constraint') AS null_comment,
        CASE WHEN t.typcollation <> b.typcollation
            THEN t.typcollation::regcollation::text END AS collation,
        obj_description(t.oid, 'pg_type') AS comment
    FROM type t JOIN pg_type b ON b.oid = t.typbasetype
    LEFT JOIN pg_constraint k ON k.contypid = t.oid AND k.contype = 'n'
    WHERE t.typtype = 'd'
"""

_COMPOSITE = f"""
    SELECT t.kind, t.name, {parent("'schema'", "t.space")}, {role("t.typowner")} AS owner,
        ARRAY(
            SELECT quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                || CASE WHEN a.attcollation <> b.typcollation
                    THEN ' COLLATE ' || a.attcollation::regcollation::text ELSE '' END
            FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum
        ) AS attributes,
        ARRAY(
            SELECT quote_ident(attname) FROM pg_attribute
            WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        ) AS names,
        ARRAY(
            SELECT json_build_array(quote_ident(attname), col_description(attrelid, attnum))
            FROM pg_attribute
            WHERE attrelid = t.typrelid AND col_description(attrelid, attnum) IS NOT NULL
            ORDER BY attname
        ) AS comments,
        obj_description(t.oid, 'pg_type') AS comment
    FROM type t WHERE t.typtype = 'c'
"""

_SEQUENCE = f"""
    SELECT r.kind, r.name, coalesce(o.parent_kind, 'schema') AS parent_kind,
        coalesce(o.name, r.space) AS parent_name,
        CASE WHEN o.name IS NULL THEN {role("r.relowner")} END AS owner, o.name AS owned_by,
        coalesce(o.identity, false) AS identity,
        format_type(s.seqtypid, NULL) AS type, s.seqstart AS start, s.seqincrement AS increment,
        s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle,
        -- The sequence of a column is as its table is, unless it was altered.
        r.relpersistence = 'u' AS unlogged,
        obj_description(r.oid, 'pg_class') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_sequence", "seqrelid = r.oid")} s
    LEFT JOIN LATERAL (
        SELECT 'column' AS parent_kind,
            d.refobjid::regclass::text || '.' || quote_ident(a.attname) AS name,
            d.deptype = 'i' AS identity
        FROM pg_depend d
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
            AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            AND {not_of_extension("pg_class", "d.refobjid")}
        OFFSET 0
    ) o ON true
    WHERE r.relkind = 'S'
"""

_POLICY = f"""
    SELECT 'policy' AS kind, quote_ident(p.polname) AS name, {OF_RELATION},
        p.polpermissive AS permissive,
        CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
            WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' END AS command,
        ARRAY(SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE {role("role")} END
              FROM unnest(p.polroles) AS role ORDER BY 1) AS roles,
        pg_get_expr(p.polqual, r.oid) AS using, pg_get_expr(p.polwithcheck, r.oid) AS check,
        obj_description(p.oid, 'pg_policy') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_policy", "polrelid = r.oid")} p
"""

# Without a partition's copy of a trigger, which is created and dropped with the trigger.
_TRIGGER = f"""
    SELECT 'trigger' AS kind, quote_ident(t.tgname) AS name, {OF_RELATION},
        pg_get_triggerdef(t.oid) AS definition,
        {enabled("t.tgenabled")} AS enabled, {depends_on("pg_trigger", "t.oid")} AS depends_on,
        obj_description(t.oid, 'pg_trigger') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_trigger", "tgrelid = r.oid")} t
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
"""

# Where a partition's copy of a trigger fires otherwise than the trigger.
_TRIGGER_STATE = f"""
    SELECT 'trigger state' AS kind, quote_ident(t.tgname) AS name, {OF_RELATION},
        {enabled("t.tgenabled")} AS enabled, {enabled("above.tgenabled")} AS usual
    FROM relation r CROSS JOIN LATERAL {each("pg_trigger", "tgrelid = r.oid")} t
    CROSS JOIN LATERAL {each("pg_trigger", "oid = t.tgparentid")} above
    WHERE NOT t.tgisinternal AND t.tgenabled <> above.tgenabled
"""

_FUNCTION = f"""
    SELECT f.kind, f.name, {parent("'schema'", "f.space")}, {role("f.proowner")} AS owner,
        CASE f.prokind WHEN 'a' THEN (
            SELECT concat_ws(', ', {other_queries.AGGREGATE},
                CASE WHEN f.proparallel <> 'u' THEN 'parallel ' || f.proparallel::text END,
                'arguments ' || pg_get_function_arguments(f.oid))
            FROM pg_aggregate a WHERE a.aggfnoid = f.oid
        ) ELSE pg_get_functiondef(f.oid) END AS definition,
        {depends_on("pg_proc", "f.oid")} AS depends_on,
        obj_description(f.oid, 'pg_proc') AS comment
    FROM function f
"""

_VIEW = f"""
    SELECT r.kind, r.name, {parent("'schema'", "r.space")}, {role("r.relowner")} AS owner,
        pg_get_viewdef(r.oid) AS definition,
        {OPTIONS} AS options,
        ARRAY(SELECT quote_ident(attname) || ': ' || col_description(r.oid, attnum)
              FROM pg_attribute WHERE attrelid = r.oid AND attnum > 0
                  AND col_description(r.oid, attnum) IS NOT NULL
              ORDER BY 1) AS comments,
        {VIEW_COLUMNS} AS columns, {ACCESS_METHOD} AS access_method,
        {CLUSTERED_ON} AS clustered_on, {depends_on("pg_class", "r.oid")} AS depends_on,
        r.relispopulated AS populated,
        obj_description(r.oid, 'pg_class') AS comment
    FROM relation r WHERE r.relkind IN ('v', 'm')
"""

_RULE = f"""
    SELECT 'rule' AS kind, quote_ident(w.rulename) AS name, {OF_RELATION},
        pg_get_ruledef(w.oid) AS definition, {enabled("w.ev_enabled")} AS enabled,
        obj_description(w.oid, 'pg_rewrite') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_rewrite", "ev_class = r.oid")} w
    WHERE w.rulename <> '_RETURN'
"""

_STATISTICS = f"""
    SELECT 'statistics' AS kind,
        s.stxnamespace::regnamespace::text || '.' || quote_ident(s.stxname) AS name,
        {OF_RELATION}, {role("s.stxowner")} AS owner, pg_get_statisticsobjdef(s.oid) AS definition,
        NULLIF(s.stxstattarget, -1) AS target,
        obj_description(s.oid, 'pg_statistic_ext') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_statistic_ext", "stxrelid = r.oid")} s
"""

QUERIES = {
    model.Schema: _SCHEMA,
    model.Extension: _EXTENSION,
    model.Enum: _ENUM,
    model.Domain: _DOMAIN,
    model.Composite: _COMPOSITE,
    model.Range: other_queries.RANGE,
    model.Table: table_queries.TABLE,
    model.Attachment: table_queries.ATTACHMENT,
    model.Column: table_queries.COLUMN,
    model.Sequence: _SEQUENCE,
    model.Constraint: CONSTRAINT,
    model.Index: INDEX,
    model.Policy: _POLICY,
    model.Function: _FUNCTION,
    model.Trigger: _TRIGGER,
    model.TriggerState: _TRIGGER_STATE,
    model.View: _VIEW,
    model.Rule: _RULE,
    model.Statistics: _STATISTICS,
    model.Publication: other_queries.PUBLICATION,
    model.PublishedTable: other_queries.PUBLISHED_TABLE,
    model.PublishedSchema: other_queries.PUBLISHED_SCHEMA,
    model.Setting: other_queries.SETTING,
    model.Other: other_queries.OTHER,
    model.Grant: grant_queries.GRANT,
    model.DefaultGrant: grant_queries.DEFAULT_GRANT,
}

NOT_COMPARED = "NotCompared"
"""Stands for a class in the rows of what is not compared."""

_KINDS: Final = {
    **dict.fromkeys(("Enum", "Domain", "Composite", "Range"), rare_kinds.TYPE),
    "Attachment": rare_kinds.ATTACHMENT,
    "Rule": rare_kinds.RULE,
    "Statistics": rare_kinds.STATISTICS,
    **dict.fromkeys(("Publication", "PublishedTable", "PublishedSchema"), rare_kinds.PUBLICATION),
    "Setting": rare_kinds.SETTING,
    "DefaultGrant": rare_kinds.DEFAULT_GRANT,
    **dict.fromkeys(("Other", NOT_COMPARED), rare_kinds.OTHER),
}
"""Of which rare kind the objects of a class are."""


@functools.cache
def statement(kinds: frozenset[str]) -> str:
    """Return the statement that reads all but the rare kinds, and of these only ``kinds``.

    It also says which of the rare kinds there are; see rare_kinds.
    """
    queries = {
        **{class_.__name__: query for class_, query in QUERIES.items()},
        NOT_COMPARED: other_queries.NOT_COMPARED,
        model.Dependency.__name__: dependency_query(kinds),
    }
    read = {
        name: query
        for name, query in queries.items()
        if name not in _KINDS or _KINDS[name] in kinds
    }
    return f"{combined(read)} UNION ALL {rare_kinds.found_query()}"


def statement_of(classes: Collection[type[model.Object]]) -> str:
    """Return the statement that reads only these classes."""
    return combined({class_.__name__: QUERIES[class_] for class_ in classes})


def combined(queries: Mapping[str, str]) -> str:
    """Return the statement of these queries, by the name that their rows get."""
    return _COMMON + " UNION ALL ".join(
        f"SELECT '{name}' AS class, row_to_json(o)::text AS object FROM ({query}) o"
        for name, query in queries.items()
    )
