"""What a database contains, as text that two databases can be compared by."""

import asyncio

import asyncpg

_BOOKKEEPING = ("migration", "migration_history", "migration_step")
"""Piccolo's ledger and our history: in one database and not in the other, by design."""

_NOT_OURS = """
    n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg_temp%' AND n.nspname NOT LIKE 'pg_toast_temp%'
"""

_QUERIES = {
    "schema": f"SELECT nspname FROM pg_namespace n WHERE {_NOT_OURS}",
    "relation": f"""
        SELECT n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
               c.reloptions, ARRAY(
                   -- Rights that were given and taken back leave a list; before, there was none.
                   SELECT unnest(coalesce(c.relacl, acldefault(
                       (CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner
                   )))::text ORDER BY 1
               )
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_NOT_OURS} AND c.relname <> ALL ($1) AND c.relname NOT LIKE 'migration\\_%'
    """,
    "column": f"""
        SELECT n.nspname, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
               a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation::text,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {_NOT_OURS} AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relname <> ALL ($1)
    """,
    # PostgreSQL 18 lists NOT NULL as constraints; the columns have said it already.
    "constraint": f"""
        SELECT n.nspname, c.relname, k.conname, k.convalidated, pg_get_constraintdef(k.oid)
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_NOT_OURS} AND k.contype <> 'n' AND c.relname <> ALL ($1)
    """,
    "index": f"""
        SELECT n.nspname, i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid),
               i.indisvalid, i.indisunique, i.indnullsnotdistinct
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_NOT_OURS} AND i.indrelid::regclass::text <> ALL ($1)
    """,
    "policy": "SELECT p.* FROM pg_policies p WHERE tablename <> ALL ($1)",
    "function": f"""
        SELECT pg_get_functiondef(p.oid)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_NOT_OURS} AND p.proname <> 'migration_history_is_append_only'
    """,
    "trigger": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
            AND t.tgrelid::regclass::text <> ALL ($1)
    """,
    "type": f"""
        SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE {_NOT_OURS} AND ltrim(t.typname, '_') <> ALL ($1)
    """,
}


def catalog(url: str) -> set[tuple[str, ...]]:
    """Everything in the database that is not PostgreSQL's own or Piccolo's ledger."""

    async def run() -> set[tuple[str, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return await read_catalog(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


async def read_catalog(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> set[tuple[str, ...]]:
    """The same, over a connection that is open already."""
    return {
        (kind, *map(str, row))
        for kind, sql in _QUERIES.items()
        for row in await connection.fetch(sql, *([_BOOKKEEPING] if "$1" in sql else []))
    }
