"""What values make sense, and ``updated_at`` kept by the database on every update."""

from piccolo.constraints import Check

from partman.migration import MigrationManager

ID = "2026-11-24T09:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "integrity"

IS_CURRENCY = "currency ~ '^[A-Z]{3}$'"

# Table, its class, the rest of the constraint's name, in words, and as a condition.
RULES = [
    ("partners", "Partner", "relationship_health_range", "is from 0 to 100",
     "relationship_health BETWEEN 0 AND 100"),
    ("opportunities", "Opportunity", "deal_value_not_negative", "is not negative",
     "deal_value >= 0"),
    ("opportunities", "Opportunity", "currency_is_iso", "is three capital letters", IS_CURRENCY),
    ("opportunities", "Opportunity", "probability_range", "is from 0 to 100",
     "probability BETWEEN 0 AND 100"),
    ("quarterly_goals", "QuarterlyGoal", "quarter_range", "is from 1 to 4",
     "quarter BETWEEN 1 AND 4"),
    ("quarterly_goals", "QuarterlyGoal", "target_value_not_negative", "is not negative",
     "target_value >= 0"),
    ("quarterly_goals", "QuarterlyGoal", "current_value_not_negative", "is not negative",
     "current_value >= 0"),
    ("quarterly_goals", "QuarterlyGoal", "currency_is_iso", "is three capital letters",
     IS_CURRENCY),
]  # fmt: skip

WITH_UPDATED_AT = ("organizations", "users", "partners", "opportunities", "quarterly_goals")

SET_UPDATED_AT = """
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    for table, class_name, name, in_words, condition in RULES:
        column = condition.split()[0]
        manager.require_no_rows(
            f"{table}.{column} {in_words}",
            f"SELECT id, {column} FROM {table} WHERE NOT ({condition})",
        )
        with manager.done_in_sql():
            manager.add_constraint(
                table_class_name=class_name,
                tablename=table,
                constraint_name=f"{table}_{name}",
                constraint_class=Check,
                params={"condition": condition},
                schema=None,
            )

    manager.add_sql(
        forwards=[SET_UPDATED_AT, "REVOKE EXECUTE ON FUNCTION set_updated_at() FROM PUBLIC"],
        backwards="DROP FUNCTION set_updated_at()",
    )
    for table in WITH_UPDATED_AT:
        _change(manager, table)
    for table, _, name, _, _ in RULES:
        manager.add_sql(
            forwards=f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_{name}", backwards=None
        )
    return manager


def _change(manager, table):
    """Add the trigger and the rules of a table, for rows to come, under one lock."""
    rules = [
        (f"{table}_{name}", condition) for each, _, name, _, condition in RULES if each == table
    ]
    trigger = f"""
        CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table}
        FOR EACH ROW EXECUTE FUNCTION set_updated_at()
    """
    manager.add_sql(
        forwards=[
            trigger,
            *(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
                for name, condition in rules
            ),
        ],
        backwards=[
            f"DROP TRIGGER set_updated_at ON {table}",
            *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for name, _ in rules),
        ],
    )
