"""The queries for objects of the database as a whole, as parts of the statement in ``queries``.

They refer to its common table expressions. Objects of a kind that is not modelled are compared by
what their catalog says of them, with names instead of OIDs: pg_get_catalog_foreign_keys() knows
which columns are OIDs of what.
"""

from typing import Final

from partman.catalog.query_words import (
    FIRST_USER_OID,
    not_of_extension,
    parent,
    role,
)

RANGE: Final = f"""
    SELECT t.kind, t.name, {parent("'schema'", "t.space")}, {role("t.typowner")} AS owner,
        format_type(g.rngsubtype, NULL) AS subtype,
        CASE WHEN NOT c.opcdefault
            THEN c.opcnamespace::regnamespace::text || '.' || quote_ident(c.opcname)
            END AS operator_class,
        CASE WHEN g.rngcollation NOT IN (0, b.typcollation)
            THEN g.rngcollation::regcollation::text END AS collation,
        NULLIF(g.rngcanonical::text, '-') AS canonical,
        NULLIF(g.rngsubdiff::text, '-') AS difference,
        CASE WHEN m.typnamespace <> t.typnamespace OR m.typname <>
                CASE WHEN strpos(t.typname, 'range') > 0
                    THEN regexp_replace(t.typname, 'range', 'multirange')
                    ELSE t.typname || '_multirange' END
            THEN m.typnamespace::regnamespace::text || '.' || quote_ident(m.typname)
            END AS multirange,
        obj_description(t.oid, 'pg_type') AS comment
    FROM type t JOIN pg_range g ON g.rngtypid = t.oid JOIN pg_type b ON b.oid = g.rngsubtype
    JOIN pg_opclass c ON c.oid = g.rngsubopc JOIN pg_type m ON m.oid = g.rngmultitypid
"""

# pubgencols is new in PostgreSQL 18.
PUBLICATION: Final = f"""
    SELECT 'publication' AS kind, quote_ident(p.pubname) AS name, {role("p.pubowner")} AS owner,
        p.puballtables AS all_tables,
        concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,
            CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,
            CASE WHEN p.pubtruncate THEN 'truncate' END) AS operations,
        p.pubviaroot AS via_root,
        CASE to_jsonb(p) ->> 'pubgencols' WHEN 's' THEN 'stored' ELSE 'none' END
            AS generated_columns,
        obj_description(p.oid, 'pg_publication') AS comment
    FROM pg_publication p WHERE {not_of_extension("pg_publication", "p.oid")}
"""

PUBLISHED_TABLE: Final = f"""
    SELECT 'published table' AS kind, r.name,
        {parent("'publication'", "quote_ident(p.pubname)")},
        ARRAY(
            SELECT quote_ident(attname) FROM pg_attribute
            WHERE attrelid = r.oid AND attnum = ANY (l.prattrs) ORDER BY attnum) AS columns,
        pg_get_expr(l.prqual, l.prrelid) AS predicate
    FROM relation r JOIN pg_publication_rel l ON l.prrelid = r.oid
    JOIN pg_publication p ON p.oid = l.prpubid
"""

PUBLISHED_SCHEMA: Final = f"""
    SELECT 'published schema' AS kind, n.name,
        {parent("'publication'", "quote_ident(p.pubname)")}
    FROM space n JOIN pg_publication_namespace l ON l.pnnspid = n.oid
    JOIN pg_publication p ON p.oid = l.pnpubid
"""

SETTING: Final = f"""
    SELECT 'setting' AS kind, split_part(assigned, '=', 1) AS name,
        split_part(assigned, '=', 1) AS parameter,
        CASE WHEN s.setrole <> 0 THEN {role("s.setrole")} END AS role,
        substr(assigned, strpos(assigned, '=') + 1) AS value
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) assigned
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# Without privileges, which are read as grants, and without what refers to nothing.
_ROW: Final = f"""(
        SELECT string_agg(field.key || ' ' || coalesce(named.names, field.value), ', '
            ORDER BY field.key)
        FROM jsonb_each_text({{row}}) field
        LEFT JOIN pg_get_catalog_foreign_keys() refers
            ON refers.fktable = {{catalog}} AND refers.fkcols = ARRAY[field.key]
        CROSS JOIN LATERAL (
            SELECT string_agg(
                CASE refers.pktable WHEN 'pg_authid'::regclass THEN {role("number::oid")}
                    ELSE (pg_identify_object(refers.pktable, number::oid, 0)).identity END, ' ')
                AS names
            FROM regexp_split_to_table(field.value, ' ') number
            WHERE refers.pktable IS NOT NULL AND field.value ~ '^[0-9 ]+$'
        ) named
        WHERE field.value IS NOT NULL AND field.key !~ '(^oid|acl)$'
            AND NOT (refers.pktable IS NOT NULL AND field.value IN ('0', '-')))"""


def _row(of: str, catalog: str) -> str:
    """Return all that a row of a catalog says, with names instead of OIDs."""
    return _ROW.format(row=of, catalog=catalog)


AGGREGATE: Final = _row("to_jsonb(a) - 'aggfnoid'", "'pg_aggregate'::regclass")


ROWS_ALONE: Final = (
    "pg_am",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_opclass",
    "pg_operator",
    "pg_transform",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
)
"""Catalogs of which one row tells all about an object that is not modelled."""

IDENTIFIED: Final = tuple(each for each in ROWS_ALONE if each != "pg_type")
"""Those that PostgreSQL names as the model does. A domain is a type to it, too."""

WITH_PARTS: Final = {
    "pg_opfamily": {"pg_amop": "amopfamily", "pg_amproc": "amprocfamily"},
    "pg_ts_config": {"pg_ts_config_map": "mapcfg"},
}
"""Catalogs whose objects have parts in others, by the column that refers to the object."""

READ_IN_FULL: Final = (
    *("pg_attrdef", "pg_class", "pg_constraint", "pg_default_acl", "pg_extension", "pg_namespace"),
    *("pg_policy", "pg_proc", "pg_publication", "pg_publication_namespace", "pg_publication_rel"),
    *("pg_rewrite", "pg_statistic_ext", "pg_subscription", "pg_trigger", "pg_user_mapping"),
    *(part for parts in WITH_PARTS.values() for part in parts),
)
"""The other catalogs that the queries read."""

# The version of a collation is that of the server's libraries. Types: base types and shells.
# Nobody but a superuser may read a subscription's connection, and another role's user mapping.
_ALONE: Final = " UNION ALL ".join(
    f"""
        SELECT '{catalog}'::regclass AS catalog, oid, '{catalog}'::regclass AS table,
            to_jsonb(c) - 'collversion' AS row
        FROM {catalog} c WHERE oid >= {FIRST_USER_OID}
            {"AND typtype IN ('b', 'p')" if catalog == "pg_type" else ""}"""
    for catalog in (*ROWS_ALONE, *WITH_PARTS)
)
_PARTS: Final = " UNION ALL ".join(
    f"""
        SELECT '{catalog}'::regclass, {of}, '{part}'::regclass, to_jsonb(c) - '{of}'
        FROM {part} c WHERE {of} >= {FIRST_USER_OID}"""
    for catalog, parts in WITH_PARTS.items()
    for part, of in parts.items()
)

# Materialized: else PostgreSQL plans the rest for each of the tables.
OTHER: Final = f"""
    WITH other AS MATERIALIZED (
        {_ALONE}
        UNION ALL
        {_PARTS}
        UNION ALL
        SELECT 'pg_user_mapping'::regclass, umid, 'pg_user_mapping'::regclass,
            jsonb_build_object('umoptions', umoptions)
        FROM pg_user_mappings
        UNION ALL
        SELECT 'pg_subscription'::regclass, s.oid, 'pg_subscription'::regclass,
            jsonb_build_object('subowner', subowner,
            'subenabled', subenabled, 'subbinary', subbinary, 'subslotname', subslotname,
            'subsynccommit', subsynccommit, 'subpublications', subpublications,
            'subdisableonerr', subdisableonerr, 'subtwophasestate', subtwophasestate)
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
        WHERE d.datname = current_database()
    )
    SELECT i.type AS kind, i.identity AS name, o.definition,
        obj_description(o.oid, c.relname) AS comment
    FROM (
        SELECT catalog, oid, string_agg(said, '; ' ORDER BY catalog <> "table", said) AS definition
        FROM (
            SELECT other.*, {_row("other.row", "other.table")} AS said FROM other
            WHERE NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = other.catalog AND objid = other.oid AND deptype IN ('e', 'i')
                OFFSET 0)
        ) rows
        GROUP BY catalog, oid
    ) o JOIN pg_class c ON c.oid = o.catalog
    CROSS JOIN LATERAL pg_identify_object(o.catalog, o.oid, 0) i
    UNION ALL
    SELECT 'security label', format('%s on %s %s', l.provider, i.type, i.identity), l.label, NULL
    FROM pg_seclabel l
    CROSS JOIN LATERAL pg_identify_object(l.classoid, l.objoid, l.objsubid) i
"""

KNOWN_CATALOGS: Final = ", ".join(
    f"'{each}'::regclass" for each in (*ROWS_ALONE, *WITH_PARTS, *READ_IN_FULL)
)
"""The catalogs that the queries read, as in SQL."""

# A tablespace is a place on one server; a catalog that only a newer PostgreSQL has is not known.
NOT_COMPARED: Final = f"""
    SELECT 'tablespace' AS kind,
        quote_ident(s.spcname) || ' of ' || c.oid::regclass::text AS name
    FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    JOIN relation r ON r.oid = coalesce(i.indrelid, c.oid)
    UNION ALL
    SELECT 'connection', 'of subscription ' || quote_ident(s.subname)
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
    WHERE d.datname = current_database()
    UNION ALL
    SELECT 'options', 'of user mapping ' || i.identity FROM pg_user_mappings u
    CROSS JOIN LATERAL pg_identify_object('pg_user_mapping'::regclass, u.umid, 0) i
    WHERE u.umoptions IS NULL
    UNION ALL
    SELECT DISTINCT i.type, i.identity FROM pg_depend d
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.objid >= {FIRST_USER_OID} AND d.classid NOT IN ({KNOWN_CATALOGS})
"""
