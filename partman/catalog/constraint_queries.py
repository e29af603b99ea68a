"""The queries for constraints and indexes, as parts of the statement in ``queries``.

They refer to its common table expressions ``relation`` and ``type``.
"""

from typing import Final

from partman.catalog.query_words import OF_RELATION, depends_on, each, parent


def _columns(numbers: str, table: str) -> str:
    """Return the names of the columns with these numbers, in their order."""
    return f"""ARRAY(
            SELECT quote_ident(a.attname) FROM unnest({numbers}) WITH ORDINALITY u (number, place)
            JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = u.number
            ORDER BY u.place)"""


def _index_columns(first: str, last: str) -> str:
    """Return columns and expressions of the index ``i``, as in CREATE INDEX."""
    return f"""ARRAY(
            SELECT pg_get_indexdef(i.indexrelid, n, false)
            FROM generate_series({first}, {last}) n ORDER BY n)"""


_KEYS = _index_columns("1", "i.indnkeyatts")
_INCLUDED = _index_columns("i.indnkeyatts + 1", "i.indnatts")
_ACTION = """CASE {} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
            WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' END"""

# Without NOT NULL, which the columns have, and without constraint triggers. conperiod and
# conenforced are new in PostgreSQL 18: on an older server, these names mean those of before_18.
CONSTRAINT: Final = f"""
    SELECT 'constraint' AS kind, quote_ident(k.conname) AS name,
        {parent("o.kind", "o.name")},
        pg_get_constraintdef(k.oid) AS definition, k.convalidated AS valid,
        NOT EXISTS (SELECT FROM pg_trigger WHERE tgconstraint = k.oid AND tgenabled <> 'O')
            AS enforced,
        CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE'
            WHEN 'f' THEN 'FOREIGN KEY' WHEN 'c' THEN 'CHECK' ELSE 'EXCLUDE' END AS type,
        CASE k.contype WHEN 'x' THEN {_KEYS} ELSE {_columns("k.conkey", "k.conrelid")}
            END AS columns,
        {_INCLUDED} AS included,
        NOT coalesce(i.indnullsnotdistinct, false) AS nulls_distinct,
        ARRAY(SELECT unnest(c.reloptions) ORDER BY 1) AS options,
        k.period,
        ARRAY(
            SELECT CASE n.nspname WHEN 'pg_catalog' THEN p.oprname
                ELSE format('OPERATOR(%I.%s)', n.nspname, p.oprname) END
            FROM unnest(k.conexclop) WITH ORDINALITY u (oid, place)
            JOIN pg_operator p ON p.oid = u.oid JOIN pg_namespace n ON n.oid = p.oprnamespace
            WHERE k.contype = 'x' ORDER BY u.place) AS operators,
        CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid)
            ELSE pg_get_expr(i.indpred, i.indrelid) END AS expression,
        CASE WHEN k.confrelid <> 0 THEN k.confrelid::regclass::text END AS referenced_table,
        {_columns("k.confkey", "k.confrelid")} AS referenced_columns,
        {_ACTION.format("k.confupdtype")} AS on_update,
        {_ACTION.format("k.confdeltype")} AS on_delete,
        {_columns("k.confdelsetcols", "k.conrelid")} AS on_delete_columns,
        k.confmatchtype = 'f' AS match_full,
        k.condeferrable AS deferrable, k.condeferred AS initially_deferred,
        k.connoinherit AND k.contype = 'c' AS no_inherit,
        NOT k.enforced AS not_enforced,
        k.conislocal AS local, k.coninhcount > 0 AS inherited,
        k.conislocal AND k.coninhcount > 0 AS declared,
        (SELECT conrelid::regclass::text FROM pg_constraint WHERE oid = k.conparentid)
            AS attached_to,
        (SELECT quote_ident(conname) FROM pg_constraint WHERE oid = k.conparentid)
            AS attached_name,
        i.indexrelid::regclass::text AS index,
        obj_description(i.indexrelid, 'pg_class') AS index_comment,
        obj_description(k.oid, 'pg_constraint') AS comment
    FROM (
        SELECT r.kind, r.name, k.oid
        FROM relation r CROSS JOIN LATERAL {each("pg_constraint", "conrelid = r.oid")} k
        UNION ALL
        SELECT t.kind, t.name, k.oid
        FROM type t CROSS JOIN LATERAL {each("pg_constraint", "contypid = t.oid")} k
    ) o
    CROSS JOIN (SELECT false AS conperiod, true AS conenforced) before_18
    CROSS JOIN LATERAL (
        SELECT *, conperiod AS period, conenforced AS enforced FROM pg_constraint
        WHERE oid = o.oid OFFSET 0
    ) k
    -- A foreign key's conindid is the index of what it refers to.
    LEFT JOIN LATERAL (
        SELECT * FROM pg_index
        WHERE indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x') OFFSET 0
    ) i ON true
    LEFT JOIN LATERAL {each("pg_class", "oid = i.indexrelid")} c ON true
    WHERE k.contype IN ('p', 'u', 'f', 'c', 'x')
        -- Copies come and go with the key: on partitions, and for each partition referred to.
        AND NOT (k.contype = 'f' AND k.conparentid <> 0)
"""

# indoption: 1 is DESC, 2 is NULLS FIRST, which DESC has by default.
INDEX: Final = f"""
    SELECT 'index' AS kind, r.space || '.' || quote_ident(c.relname) AS name,
        {OF_RELATION},
        pg_get_indexdef(i.indexrelid) AS definition,
        i.indisvalid AND i.indisready AND i.indislive AS valid,
        m.amname AS method, i.indisunique AS unique,
        NOT i.indnullsnotdistinct AS nulls_distinct,
        ARRAY(
            SELECT json_build_object(
                'text', pg_get_indexdef(i.indexrelid, n, false),
                'column', (SELECT quote_ident(attname) FROM pg_attribute
                    WHERE attrelid = i.indrelid AND attnum = i.indkey[n - 1]),
                'collation', CASE WHEN i.indcollation[n - 1] NOT IN (0, coalesce(
                        (SELECT attcollation FROM pg_attribute
                         WHERE attrelid = i.indrelid AND attnum = i.indkey[n - 1]),
                        t.typcollation))
                    THEN i.indcollation[n - 1]::regcollation::text END,
                'operator_class', CASE WHEN NOT o.opcdefault OR a.attoptions IS NOT NULL THEN
                    CASE s.nspname WHEN 'pg_catalog' THEN '' ELSE quote_ident(s.nspname) || '.' END
                    || quote_ident(o.opcname) || coalesce(
                        (SELECT '(' || string_agg(quote_ident(option_name) || '='
                            || quote_literal(option_value), ', ') || ')'
                         FROM pg_options_to_table(a.attoptions)), '') END,
                'direction', CASE i.indoption[n - 1] WHEN 1 THEN 'DESC NULLS LAST'
                    WHEN 2 THEN 'NULLS FIRST' WHEN 3 THEN 'DESC' END)
            FROM generate_series(1, i.indnkeyatts) n
            JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = n
            JOIN pg_type t ON t.oid = a.atttypid
            JOIN pg_opclass o ON o.oid = i.indclass[n - 1]
            JOIN pg_namespace s ON s.oid = o.opcnamespace
            ORDER BY n
        ) AS keys,
        {_INCLUDED} AS included,
        ARRAY(SELECT unnest(c.reloptions) ORDER BY 1) AS options,
        pg_get_expr(i.indpred, i.indrelid) AS predicate,
        ARRAY(
            SELECT json_build_array(attnum, attstattarget) FROM pg_attribute
            WHERE attrelid = c.oid AND attstattarget <> -1 ORDER BY attnum) AS statistics,
        {depends_on("pg_class", "c.oid")} AS depends_on,
        (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = i.indexrelid)
            AS attached_to,
        obj_description(c.oid, 'pg_class') AS comment
    FROM relation r CROSS JOIN LATERAL {each("pg_index", "indrelid = r.oid")} i
    CROSS JOIN LATERAL {each("pg_class", "oid = i.indexrelid")} c
    JOIN pg_am m ON m.oid = c.relam
    WHERE NOT EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conrelid = r.oid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
        OFFSET 0)
"""
