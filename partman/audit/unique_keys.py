"""Unique keys: one that all tenants share tells each what the others have."""

from partman.audit.rule import Rule
from partman.isolation import Tenancy


def rules(_: Tenancy) -> tuple[Rule, ...]:
    """Return the rule about them."""
    return (UNIQUE_WITHOUT_TENANT,)


# A row's identity, which is nobody's choice: a random UUID, or a number from a sequence. There is
# nothing to guess, and the number is what the sequence tells anyway.
_IDENTITY = """
    SELECT p.indrelid, (p.indkey::int2[])[0:p.indnkeyatts - 1] AS numbers FROM pg_index p
    WHERE p.indisprimary AND EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = p.indrelid AND a.attnum = ANY ((p.indkey::int2[])[0:p.indnkeyatts - 1])
            AND (a.atttypid = 'uuid'::regtype OR EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
                    AND d.deptype IN ('a', 'i')
                    AND EXISTS (SELECT FROM pg_class s WHERE s.oid = d.objid AND s.relkind = 'S')
            ))
    )
"""

# The definition up to the first column, where the tenant is put.
_INDEX_BEGIN = """
    length(format('CREATE UNIQUE INDEX %I ON %s%s USING %I (', c.relname,
                  CASE c.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END, t.name, am.amname))
"""
_CONCURRENTLY = "CASE c.relkind WHEN 'I' THEN '' ELSE 'CONCURRENTLY ' END"

_CONSTRAINT = """
    CASE WHEN k.contype = 'x' AND NOT EXISTS (
             SELECT FROM pg_opclass
             WHERE opcmethod = c.relam AND opcintype = a.atttypid AND opcdefault
         ) AND am.amname = 'gist'
         THEN E'CREATE EXTENSION IF NOT EXISTS btree_gist;\\n' ELSE '' END
    || format(
        E'ALTER TABLE %s DROP CONSTRAINT %I,\\n  ADD CONSTRAINT %2$I %3$s;', t.name, k.conname,
        overlay(
            pg_get_constraintdef(k.oid)
            PLACING format('(%I%s, ', t.key, CASE k.contype WHEN 'x' THEN ' WITH =' ELSE '' END)
            FROM position('(' IN pg_get_constraintdef(k.oid)) FOR 1
        )
    )
"""

UNIQUE_WITHOUT_TENANT = Rule(
    "unique-without-tenant",
    "A unique key of all tenants together bars one from the value that another has, and its error "
    "says so. Keys by which a row is known, a UUID or a number of a sequence, are left out, and "
    "what the table class names in global_keys.",
    f"""
    SELECT format('%I ON %s', c.relname, t.name) AS object,
           format('It does not include %I, so it holds for all tenants together.', t.key)
               AS reason,
           CASE
               WHEN is_covered AND k.oid IS NOT NULL
               THEN format('ALTER TABLE %s DROP CONSTRAINT %I;', t.name, k.conname)
               WHEN is_covered
               THEN format('DROP INDEX %s%s;', {_CONCURRENTLY}, i.indexrelid::regclass)
               WHEN k.oid IS NOT NULL THEN {_CONSTRAINT}
               ELSE format(
                   E'CREATE UNIQUE INDEX %1$sON %2$s USING %3$I (%4$I, %5$s;\\n'
                   'DROP INDEX %1$s%6$s;',
                   {_CONCURRENTLY}, t.name, am.amname, t.key,
                   substr(pg_get_indexdef(i.indexrelid), {_INDEX_BEGIN} + 1), i.indexrelid::regclass
               )
           END AS remedy
    FROM tenant t
    JOIN pg_index i ON i.indrelid = t.oid AND (i.indisunique OR i.indisexclusion)
    -- A partition's are its parent's.
    JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
    JOIN pg_am am ON am.oid = c.relam
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = t.key_number
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    CROSS JOIN LATERAL (SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS numbers) AS of_key
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT FROM pg_index o
            WHERE o.indrelid = t.oid AND o.indisunique AND o.indisvalid AND o.indimmediate
                AND o.indpred IS NULL AND 0 <> ALL (o.indkey) AND 0 <> ALL (of_key.numbers)
                AND o.indnkeyatts = i.indnkeyatts + 1
                AND (o.indkey::int2[])[0:o.indnkeyatts - 1] <@ (t.key_number || of_key.numbers)
        ) AND i.indisunique AS is_covered
    ) AS other
    -- The tenants themselves are nobody's: no tenant writes their keys, see app-rights.
    WHERE t.key <> 'id'
        AND NOT (
            t.key_number = ANY (of_key.numbers)
            AND (NOT i.indisexclusion OR k.conexclop IS NULL OR EXISTS (
                SELECT FROM pg_operator
                WHERE oid = k.conexclop[array_position(k.conkey, t.key_number)] AND oprname = '='
            ))
        )
        AND NOT EXISTS (
            SELECT FROM ({_IDENTITY}) AS p WHERE p.indrelid = t.oid AND p.numbers <@ of_key.numbers
        )
        AND (t.relname, c.relname) NOT IN (SELECT of_table, name FROM global_key)
    """,
)
