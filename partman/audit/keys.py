"""Keys: their checks ignore row level security, so they name the tenant, and hold for every row."""

from partman.audit.rule import Rule
from partman.isolation import Tenancy


def rules(_: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return (
        WITHOUT_A_TENANT,
        FOREIGN_KEY_WITHOUT_TENANT,
        FOREIGN_KEY_CLEARS_TENANT,
        FOREIGN_KEY_WITHOUT_INDEX,
        CONSTRAINT_NOT_VALID,
    )


def _has_index(table: str, numbers: str) -> str:
    """Return the SQL that says whether an index of all rows begins with columns, in any order."""
    return f"""EXISTS (
        SELECT FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am ON pg_am.oid = c.relam AND amname = 'btree'
        WHERE i.indrelid = {table} AND i.indisvalid AND i.indpred IS NULL
            AND i.indnkeyatts >= cardinality({numbers})
            AND (i.indkey::int2[])[0:cardinality({numbers}) - 1] @> {numbers}
    )"""


# What a key with the tenant in it refers to must be unique with the tenant in it. By a name that
# is the same for every key to the table, so that it is made once.
_UNIQUE_INDEX = """
    CASE WHEN NOT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = r.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
            AND i.indpred IS NULL AND i.indnkeyatts = cardinality(new.referenced_numbers)
            AND (i.indkey::int2[])[0:i.indnkeyatts - 1] @> new.referenced_numbers
    ) THEN format(
        E'CREATE UNIQUE INDEX IF NOT EXISTS %I ON %s (%s);\\n',
        left(concat_ws('_', r.relname, r.key, rest.plain), 59) || '_key', r.name, new.referenced
    ) END
"""

# SET NULL and SET DEFAULT are for the other columns; on an update they cannot be told so.
_ACTIONS = """
    CASE k.confupdtype
        WHEN 'c' THEN ' ON UPDATE CASCADE'
        WHEN 'r' THEN ' ON UPDATE RESTRICT'
    END,
    CASE k.confdeltype
        WHEN 'c' THEN ' ON DELETE CASCADE'
        WHEN 'r' THEN ' ON DELETE RESTRICT'
        WHEN 'n' THEN ' ON DELETE SET NULL (' || rest.columns || ')'
        WHEN 'd' THEN ' ON DELETE SET DEFAULT (' || rest.columns || ')'
    END,
    CASE
        WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED'
        WHEN k.condeferrable THEN ' DEFERRABLE'
    END
"""

_NEW_KEY = f"""
    format(
        E'ALTER TABLE %s DROP CONSTRAINT %I,\\n  ADD CONSTRAINT %2$I '
        'FOREIGN KEY (%3$s) REFERENCES %4$s (%5$s)%6$s%7$s%8$s;',
        t.name, k.conname, new.referencing, r.name, new.referenced, {_ACTIONS}
    )
"""

_INDEX = f"""
    CASE WHEN NOT {_has_index("t.oid", "new.referencing_numbers")}
    THEN format(E'\\nCREATE INDEX ON %s (%s);', t.name, new.referencing) END
"""

# Each reference between tenant tables, and its remedy: the same key, with the tenant first on
# both sides. One that could only compare a tenant with another is dropped.
_REFERENCES = f"""
    SELECT k.oid, format('%I ON %s', k.conname, t.name) AS name, r.name AS to_table,
           k.conkey[1] = t.key_number AND k.confkey[1] = r.key_number AS is_led_by_tenant,
           t.key_number = ANY (k.conkey) AND (
               k.confdeltype IN ('n', 'd')
               AND t.key_number = ANY (coalesce(k.confdelsetcols, k.conkey))
               OR k.confupdtype IN ('n', 'd')
           ) AS clears_tenant,
           CASE
               WHEN rest.columns IS NULL AND NOT (
                   t.key_number = ANY (k.conkey) AND r.key_number = ANY (k.confkey)
               )
               THEN format('ALTER TABLE %s DROP CONSTRAINT %I;', t.name, k.conname)
               ELSE concat({_UNIQUE_INDEX}, {_NEW_KEY}, {_INDEX})
           END AS remedy
    FROM pg_constraint k
    JOIN tenant t ON t.oid = k.conrelid
    JOIN tenant r ON r.oid = k.confrelid
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY n) AS columns,
               string_agg(quote_ident(f.attname), ', ' ORDER BY n) AS referenced,
               string_agg(f.attname, '_' ORDER BY n) AS plain,
               coalesce(array_agg(a.attnum), '{{}}') AS numbers,
               coalesce(array_agg(f.attnum), '{{}}') AS referenced_numbers
        FROM unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair (here, there, n)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = here
        JOIN pg_attribute f ON f.attrelid = r.oid AND f.attnum = there
        WHERE here <> t.key_number AND there <> r.key_number
    ) AS rest
    CROSS JOIN LATERAL (
        SELECT concat_ws(', ', quote_ident(t.key), rest.columns) AS referencing,
               concat_ws(', ', quote_ident(r.key), rest.referenced) AS referenced,
               t.key_number || rest.numbers AS referencing_numbers,
               r.key_number || rest.referenced_numbers AS referenced_numbers
    ) AS new
    -- A partition has its parent's keys, and they are changed there.
    WHERE k.contype = 'f' AND k.conparentid = 0
"""

FOREIGN_KEY_WITHOUT_TENANT = Rule(
    "foreign-key-without-tenant",
    "A foreign key's check sees every tenant's rows: one tenant can refer to another's row, learn "
    "that it exists, and lose its own to the other's ON DELETE CASCADE.",
    f"""
    SELECT k.name AS object,
           format('The key to %s does not begin with the tenant on both sides.', k.to_table)
               AS reason,
           k.remedy
    FROM ({_REFERENCES}) AS k
    WHERE NOT k.is_led_by_tenant
    """,
)

FOREIGN_KEY_CLEARS_TENANT = Rule(
    "foreign-key-clears-tenant",
    "SET NULL without a list of columns sets all of the key's, the tenant's too: the row would "
    "belong to nobody, or the deletion fails.",
    f"""
    SELECT k.name AS object,
           format('The key to %s sets the tenant''s column when the other row goes or changes.',
                  k.to_table) AS reason,
           k.remedy
    FROM ({_REFERENCES}) AS k
    WHERE k.clears_tenant
    """,
)

FOREIGN_KEY_WITHOUT_INDEX = Rule(
    "foreign-key-without-index",
    "Deleting the row that a key refers to looks for the rows that refer to it. Without an index "
    "that begins with the key's columns it reads the whole table, and locks wait for it.",
    f"""
    SELECT DISTINCT ON (k.conrelid, columns)
           format('%I ON %s', k.conname, r.name) AS object,
           format('No index begins with %s.', columns) AS reason,
           format('CREATE INDEX %sON %s (%s);',
                  CASE r.relkind WHEN 'r' THEN 'CONCURRENTLY ' ELSE '' END, r.name, columns)
               AS remedy
    FROM pg_constraint k
    JOIN relation r ON r.oid = k.conrelid
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY n) AS columns
        FROM unnest(k.conkey) WITH ORDINALITY AS key (number, n)
        JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number
    ) AS named
    WHERE k.contype = 'f' AND k.conparentid = 0
        -- A key that is to be replaced gets its index together with the new one.
        AND k.oid NOT IN (SELECT f.oid FROM ({_REFERENCES}) AS f WHERE NOT f.is_led_by_tenant)
        AND NOT {_has_index("k.conrelid", "k.conkey")}
    ORDER BY k.conrelid, columns, k.conname
    """,
)

CONSTRAINT_NOT_VALID = Rule(
    "constraint-not-valid",
    "A constraint that is NOT VALID is checked for new rows only: one that was there before may "
    "refer to another tenant's row, or be what the constraint forbids.",
    f"""
    SELECT format('%I ON %s', k.conname, t.name) AS object,
           CASE WHEN enforced THEN 'It is NOT VALID: rows that were there before it may break it.'
                ELSE 'It is NOT ENFORCED: any row may break it.' END AS reason,
           format(
               CASE WHEN enforced THEN 'ALTER TABLE %s VALIDATE CONSTRAINT %I;'
                    ELSE E'ALTER TABLE %s DROP CONSTRAINT %I,\\n  ADD CONSTRAINT %2$I %3$s;' END,
               t.name, k.conname,
               regexp_replace(pg_get_constraintdef(k.oid), ' NOT ENFORCED$', '')
           ) AS remedy
    FROM pg_constraint k
    JOIN tenant t ON t.oid = k.conrelid
    -- From PostgreSQL 18 on there are constraints that are not enforced.
    CROSS JOIN LATERAL (
        SELECT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS enforced
    ) AS said
    WHERE NOT k.convalidated
        -- A partition has its parent's, which are validated there.
        AND k.conparentid = 0 AND k.coninhcount = 0
        -- What is put in the place of a key is valid.
        AND k.oid NOT IN (
            SELECT f.oid FROM ({_REFERENCES}) AS f WHERE NOT f.is_led_by_tenant OR f.clears_tenant
        )
    """,
)

WITHOUT_A_TENANT = Rule(
    "row-without-tenant",
    "A row without a tenant is nobody's: no tenant sees it, and a key that has a NULL in it "
    "is not checked at all.",
    """
    SELECT format('%I ON %s', t.key, t.name) AS object,
           'It may be NULL.' AS reason,
           format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', t.name, t.key) AS remedy
    FROM tenant t
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = t.key_number
    WHERE NOT a.attnotnull
    """,
)
