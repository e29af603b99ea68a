"""Triggers: the checks of foreign keys are some."""

from partman.audit.rule import Rule
from partman.isolation import Tenancy


def rules(_: Tenancy) -> tuple[Rule, ...]:
    """Return the rule about them."""
    return (TRIGGER_DISABLED,)


TRIGGER_DISABLED = Rule(
    "trigger-disabled",
    "Foreign keys are checked by triggers. Where they are disabled, a row may refer to another "
    "tenant's, and is left behind when that is deleted; where a trigger of your own is, its rule "
    "does not hold.",
    """
    SELECT object, min(reason) AS reason,
           string_agg(format('ALTER TABLE %s ENABLE TRIGGER %I;', on_table, tgname), E'\\n'
                      ORDER BY on_table, tgname) AS remedy
    FROM (
        SELECT format('%I ON %s', coalesce(k.conname, g.tgname),
                      coalesce(k.conrelid::regclass::text, t.name)) AS object,
               CASE WHEN k.oid IS NOT NULL THEN 'Its checks are disabled, as a superuser can.'
                    WHEN g.tgenabled = 'R' THEN 'The trigger fires on a replica only.'
                    ELSE 'The trigger is disabled.' END AS reason,
               t.name AS on_table, g.tgname
        FROM pg_trigger g
        JOIN tenant t ON t.oid = g.tgrelid
        LEFT JOIN pg_constraint k ON k.oid = g.tgconstraint AND g.tgisinternal
        WHERE g.tgenabled IN ('D', 'R')
    ) AS disabled
    GROUP BY object
    """,
)
