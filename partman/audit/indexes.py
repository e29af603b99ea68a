"""Indexes that cost and do not serve."""

from partman.audit.rule import Rule
from partman.isolation import Tenancy


def rules(_: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return DUPLICATE_INDEX, INVALID_INDEX


# Exact copies only. An index on (a) beside one on (a, b) may earn its place by being smaller,
# and whether it does is a question of the queries, not of the catalog.
DUPLICATE_INDEX = Rule(
    "duplicate-index",
    "A copy of another index, or of a constraint's own, is written with every row and helps no "
    "query.",
    """
    SELECT DISTINCT ON (object) object, reason, remedy
    FROM (
        WITH candidate AS (
            SELECT i.indexrelid, i.indrelid, i.indisunique, i.indnullsnotdistinct, k.conname,
                   c.relkind,
                   ARRAY[
                       c.relam::text, i.indnkeyatts::text, i.indkey::text, i.indclass::text,
                       i.indcollation::text, i.indoption::text,
                       pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
                   ] AS shape,
                   -- What to keep: what more hangs on, and then what was there first.
                   ARRAY[
                       i.indisprimary::int,
                       EXISTS (SELECT FROM pg_constraint
                               WHERE contype = 'f' AND conindid = i.indexrelid)::int,
                       i.indisreplident::int, (k.oid IS NOT NULL)::int, i.indisunique::int,
                       -i.indexrelid::bigint
                   ] AS worth
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indexrelid AND NOT c.relispartition
            JOIN relation r ON r.oid = i.indrelid
            LEFT JOIN pg_constraint k
                ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
            WHERE i.indisvalid
        )
        SELECT copy.indexrelid::regclass::text AS object,
               format('It is a copy of %s.', kept.indexrelid::regclass) AS reason,
               CASE
                   WHEN copy.conname IS NOT NULL
                   THEN format('ALTER TABLE %s DROP CONSTRAINT %I;',
                               copy.indrelid::regclass, copy.conname)
                   WHEN copy.relkind = 'I' THEN format('DROP INDEX %s;', copy.indexrelid::regclass)
                   ELSE format('DROP INDEX CONCURRENTLY %s;', copy.indexrelid::regclass)
               END AS remedy,
               kept.worth
        FROM candidate copy
        JOIN candidate kept
            ON kept.indrelid = copy.indrelid AND kept.shape = copy.shape
            AND kept.worth > copy.worth
            -- One unique key stands in for another only if NULLs are the same to both.
            AND (NOT copy.indisunique
                 OR kept.indisunique AND kept.indnullsnotdistinct = copy.indnullsnotdistinct)
    ) AS found
    ORDER BY object, worth DESC
    """,
)

INVALID_INDEX = Rule(
    "invalid-index",
    "CREATE INDEX CONCURRENTLY that failed leaves an index that is written but never read; a "
    "unique one does not keep duplicates out of the rows that were there.",
    """
    SELECT c.oid::regclass::text AS object,
           'It is not valid: its build failed, or is still going on.' AS reason,
           CASE WHEN c.relname ~ '_cc(new|old)[0-9]*$'
                THEN format('DROP INDEX CONCURRENTLY %s;', c.oid::regclass)
                ELSE format('REINDEX INDEX CONCURRENTLY %s;', c.oid::regclass) END AS remedy
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
    JOIN relation r ON r.oid = i.indrelid
    WHERE NOT i.indisvalid
    """,
)
