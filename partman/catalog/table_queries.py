"""The queries for tables, their columns, and what they are partitions of or inherit from.

They are parts of the statement in ``queries``, and refer to its common table expressions.
"""

from typing import Final

from partman.catalog.query_words import (
    ACCESS_METHOD,
    ATTRIBUTES,
    CLUSTERED_ON,
    COLUMN_OPTIONS,
    OF_RELATION,
    OPTIONS,
    compression,
    each,
    parent,
    role,
    storage,
)

TABLE: Final = f"""
    SELECT r.kind, r.name, {parent("'schema'", "r.space")}, {role("r.relowner")} AS owner,
        r.relpersistence = 'u' AS unlogged, r.relrowsecurity AS row_security,
        r.relforcerowsecurity AS force_row_security,
        {OPTIONS} AS options,
        CASE r.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL'
            ELSE coalesce(
                (SELECT 'INDEX ' || indexrelid::regclass::text FROM pg_index
                 WHERE indrelid = r.oid AND indisreplident), 'INDEX') END AS replica_identity,
        ARRAY(SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = r.oid
              ORDER BY inhseqno) AS inherits,
        CASE r.relkind WHEN 'p' THEN pg_get_partkeydef(r.oid) END AS partition_key,
        CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END AS partition_bound,
        (SELECT concat_ws(' ', quote_ident(s.srvname), f.ftoptions::text, (
             SELECT string_agg(quote_ident(attname) || ' ' || attfdwoptions::text, ' '
                 ORDER BY attname)
             FROM pg_attribute WHERE attrelid = r.oid AND attfdwoptions IS NOT NULL))
         FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
         WHERE f.ftrelid = r.oid) AS foreign,
        {ACCESS_METHOD} AS access_method, {CLUSTERED_ON} AS clustered_on,
        CASE WHEN r.reloftype <> 0 THEN format_type(r.reloftype, NULL) END AS of_type,
        obj_description(r.oid, 'pg_class') AS comment
    FROM relation r WHERE r.relkind IN ('r', 'p', 'f')
"""

# A copy of a foreign key has the partitioned table's as parent.
ATTACHMENT: Final = f"""
    SELECT CASE WHEN r.relispartition THEN 'partition' ELSE 'inheritance' END AS kind, r.name,
        {OF_RELATION}, h.inhparent::regclass::text AS of, h.inhseqno AS position,
        CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END AS bound,
        ARRAY(
            SELECT quote_ident(k.conname)
            FROM {each("pg_constraint", "conrelid = r.oid AND contype = 'f'")} k
            JOIN pg_constraint above ON above.oid = k.conparentid
            WHERE above.conrelid = h.inhparent
            ORDER BY 1) AS foreign_keys
    FROM relation r CROSS JOIN LATERAL {each("pg_inherits", "inhrelid = r.oid")} h
"""

COLUMN: Final = f"""
    SELECT 'column' AS kind, quote_ident(a.attname) AS name, {OF_RELATION},
        a.attnum AS position, format_type(a.atttypid, a.atttypmod) AS type,
        CASE WHEN NOT a.attnotnull THEN 'NULL'
            -- In PostgreSQL 18, NOT NULL is a constraint, which may not be validated yet.
            WHEN NOT k.convalidated THEN 'NOT NULL NOT VALID'
            ELSE 'NOT NULL' END AS null,
        -- An inherited one has the name that it has in the parent. PostgreSQL adds a number where
        -- the usual name is taken, which depends on what was made first.
        CASE WHEN k.conislocal AND rtrim(k.conname, '0123456789')
                <> concat_ws('_', r.relname, a.attname, 'not_null')
            THEN quote_ident(k.conname) END AS null_name,
        CASE WHEN k.conname <> concat_ws('_', r.relname, a.attname, 'not_null')
            THEN quote_ident(k.conname) END AS null_written_name,
        quote_ident(k.conname) AS null_constraint,
        k.connoinherit IS NOT TRUE AS null_is_inherited,
        k.conislocal IS TRUE AND k.coninhcount > 0 AS null_declared,
        obj_description(k.oid, 'pg_constraint') AS null_comment,
        CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, r.oid) END AS default,
        CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity,
        CASE a.attgenerated WHEN 's' THEN pg_get_expr(d.adbin, r.oid) || ' STORED'
            WHEN 'v' THEN pg_get_expr(d.adbin, r.oid) || ' VIRTUAL' END AS generated,
        CASE WHEN a.attcollation <> t.typcollation
            THEN a.attcollation::regcollation::text END AS collation,
        NULLIF(a.attstattarget, -1) AS statistics,
        CASE WHEN a.attstorage <> t.typstorage THEN {storage("a.attstorage")} END AS storage,
        {storage("t.typstorage")} AS type_storage,
        a.attinhcount > 0 AS inherited, a.attislocal AND a.attinhcount > 0 AS declared,
        {compression("a.attcompression")} AS compression,
        {COLUMN_OPTIONS} AS options,
        col_description(r.oid, a.attnum) AS comment
    FROM relation r
    CROSS JOIN LATERAL {ATTRIBUTES} a
    LEFT JOIN LATERAL {each("pg_attrdef", "adrelid = r.oid AND adnum = a.attnum")} d ON true
    LEFT JOIN LATERAL (
        SELECT * FROM pg_constraint
        WHERE conrelid = r.oid AND contype = 'n' AND conkey[1] = a.attnum OFFSET 0
    ) k ON true
    CROSS JOIN LATERAL {each("pg_type", "oid = a.atttypid")} t
    WHERE r.relkind IN ('r', 'p', 'f')
"""
