"""The statement that reads what ``pg_dump --schema-only`` does not print.

Where two dumps are the same text, two databases differ in nothing else than this: objects that
pg_dump prints with ``--create`` only, or to a superuser only, and a few states that it does not
print. Those are rare, and are only named: see _UNTOLD.
"""

import functools
from typing import Final

from partman.catalog import model, other_queries, rare_kinds
from partman.catalog.grant_queries import GRANT_OF_DATABASE
from partman.catalog.queries import NOT_COMPARED, QUERIES, combined
from partman.catalog.query_words import FIRST_USER_OID

_KINDS: Final = (rare_kinds.SETTING, rare_kinds.OTHER)

# An invalid index is left out, or printed as a valid one. A trigger of a foreign key is part of the
# key. A table keeps the word INDEX when the index of its replica identity is dropped.
# What a child inherits is printed with the parent: before PostgreSQL 18, a child could still allow
# NULL. A check that is not valid on a parent may be validated on a child, and have a comment there.
_UNTOLD: Final = f"""
    SELECT 'invalid index' AS kind, indexrelid::regclass::text AS name FROM pg_index
    WHERE NOT (indisvalid AND indisready AND indislive)
    UNION ALL
    SELECT 'internal trigger', tgrelid::regclass::text FROM pg_trigger
    WHERE tgisinternal AND tgenabled <> 'O'
    UNION ALL
    SELECT 'replica identity', c.oid::regclass::text FROM pg_class c
    WHERE relreplident = 'i'
        AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisreplident)
    UNION ALL
    SELECT 'column', c.attrelid::regclass::text || '.' || quote_ident(c.attname)
    FROM pg_inherits JOIN pg_attribute p ON p.attrelid = inhparent
    JOIN pg_attribute c ON c.attrelid = inhrelid AND c.attname = p.attname
    WHERE p.attnum > 0 AND p.attnotnull AND NOT c.attnotnull
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text || ' ' || quote_ident(conname)
    FROM pg_constraint k
    WHERE NOT conislocal AND obj_description(k.oid, 'pg_constraint') IS NOT NULL
        OR contype IN ('c', 'n') AND NOT convalidated
            AND EXISTS (SELECT FROM pg_inherits WHERE conrelid IN (inhparent, inhrelid))
    UNION ALL
    SELECT 'tablespace', oid::regclass::text FROM pg_class
    WHERE oid >= {FIRST_USER_OID} AND reltablespace <> 0
"""


@functools.cache
def statement(kinds: frozenset[str]) -> str:
    """Return the statement, which of the rare kinds reads only these.

    It also says which of them there are. What it names as not compared may differ where two dumps
    are the same.
    """
    queries = {
        **{class_.__name__: QUERIES[class_] for class_ in (model.Schema, model.Extension)},
        model.Grant.__name__: GRANT_OF_DATABASE,
        NOT_COMPARED: _UNTOLD,
    }
    if rare_kinds.SETTING in kinds:
        queries[model.Setting.__name__] = QUERIES[model.Setting]
    if rare_kinds.OTHER in kinds:
        queries[model.Other.__name__] = QUERIES[model.Other]
        queries[NOT_COMPARED] = f"{_UNTOLD} UNION ALL {other_queries.NOT_COMPARED}"
    return f"{combined(queries)} UNION ALL {rare_kinds.found_query(_KINDS)}"
