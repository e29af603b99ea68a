"""SQL that the tables share: functions, and the privileges to call them."""

from collections.abc import Iterable

from partman.tables import lookup, reports

_SET_UPDATED_AT = """\
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$"""

DATABASE_EXTRAS: tuple[str, ...] = (
    _SET_UPDATED_AT,
    "REVOKE EXECUTE ON FUNCTION set_updated_at() FROM PUBLIC",
    *lookup.FUNCTIONS,
    *reports.VIEWS,
)
"""Run after the tables are created and before their own extras."""


def keeps_updated_at(table: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the trigger that sets ``updated_at``, for a table with that column."""
    if "updated_at" not in columns:
        return ()
    return (
        f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table}\n"
        "FOR EACH ROW EXECUTE FUNCTION set_updated_at()",
    )
