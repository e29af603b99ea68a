"""The trigger that keeps an old and a new column in step.

A value that one of the two cannot hold is refused with an error, for either code would read another
one. The trigger is the last one before the row is written. What a backfill sets is the column that
no code writes: then the trigger undoes what the other triggers made of the row, such as a new time
of its last change.
"""

from dataclasses import dataclass

from partman.catalog.ddl.text import SqlStyle, laid_out, quoted
from partman.catalog.expansions import OpenContract
from partman.migration.autogenerate.expand.column import Expanded
from partman.migration.autogenerate.render import MIGRATION_ID


@dataclass(frozen=True)
class Side:
    """A column under the name that it has at the time."""

    name: str
    type: str
    equality: bool
    """Whether values of the type can be compared."""


def create(column: Expanded, body: str, style: SqlStyle) -> tuple[str, ...]:
    """Return the statements that create the function and the trigger."""
    return (
        function(column, body, style),
        laid_out(
            f"CREATE TRIGGER {column.trigger} BEFORE INSERT OR UPDATE ON {style(column.table)}",
            f"FOR EACH ROW EXECUTE FUNCTION {style(column.function)}()",
        ),
    )


def drop(column: Expanded, style: SqlStyle) -> tuple[str, ...]:
    """Return the statements that drop the trigger and its function."""
    return (
        f"DROP TRIGGER {column.trigger} ON {style(column.table)}",
        f"DROP FUNCTION {style(column.function)}()",
    )


def comment(column: Expanded, name: str, kept: str, style: SqlStyle) -> str:
    """Return the statement that marks the function: which column is kept in step with which."""
    contract = OpenContract(column.table, name, kept, column.is_renamed, MIGRATION_ID)
    function_name = f"{style(column.function)}()"
    return laid_out(f"COMMENT ON FUNCTION {function_name}", f"IS {quoted(contract.comment)}")


def function(column: Expanded, body: str, style: SqlStyle, *, replace: bool = False) -> str:
    """Return the statement that creates or replaces the function."""
    verb = "CREATE OR REPLACE" if replace else "CREATE"
    return (
        f"{verb} FUNCTION {style(column.function)}()\nRETURNS trigger\nLANGUAGE plpgsql\n"
        f"SET search_path TO 'pg_catalog', 'pg_temp'\nAS $$\nBEGIN\n{body}    RETURN NEW;\nEND\n$$"
    )


def mirrored(column: Expanded, source: Side, mirror: Side) -> str:
    """Return the body while code writes only ``source``; the mirror follows."""
    return (
        f"    IF TG_OP = 'UPDATE' AND {_differ(f'NEW.{mirror.name}', f'OLD.{mirror.name}', mirror)}"
        " THEN\n"
        "        NEW := OLD;  -- a backfill: it changes nothing else\n"
        "    END IF;\n"
        f"{_copied(column, source, mirror)}"
    )


def both_ways(column: Expanded, old: Side, new: Side) -> str:
    """Return the body while old code writes one name, and new code the other one.

    In an INSERT, the column that has its default is the one that was not given; both have the
    same default. One that is volatile is only the new column's, and the old one is NULL then.
    """
    default = "NULL" if column.after.default is None else column.after.default
    conflict = _differ(f"NEW.{old.name}", f"NEW.{new.name}::{old.type}", old)
    both_given = ""
    if column.has_volatile_default:
        new_is_given = f"NEW.{old.name} IS NULL"
    else:
        old_is_given = _differ(f"NEW.{old.name}", f"({default})::{old.type}", old)
        new_is_set = _differ(f"NEW.{new.name}", f"({default})::{new.type}", new)
        new_is_given = f"NOT ({old_is_given}) AND ({new_is_set})"
        both_given = (
            f"        IF ({old_is_given}) AND ({new_is_set}) AND ({conflict}) THEN\n"
            f"{_refused(column, 'got two values', 12)}        END IF;\n"
        )
    old_changes = _differ(f"NEW.{old.name}", f"OLD.{old.name}", old)
    new_changes = _differ(f"NEW.{new.name}", f"OLD.{new.name}", new)
    return (
        "    IF TG_OP = 'INSERT' THEN\n"
        f"{both_given}"
        f"        IF {new_is_given} THEN\n"
        f"{_copied(column, new, old, 12)}"
        "        ELSE\n"
        f"{_copied(column, old, new, 12)}"
        "        END IF;\n"
        f"    ELSIF {new_changes} THEN\n"
        f"        IF ({old_changes}) AND ({conflict}) THEN\n"
        f"{_refused(column, 'got two values', 12)}"
        "        END IF;\n"
        f"{_copied(column, new, old, 8)}"
        "    ELSE\n"
        f"{_copied(column, old, new, 8)}"
        "    END IF;\n"
    )


def _copied(column: Expanded, source: Side, to: Side, indent: int = 4) -> str:
    if source.type == to.type:
        return f"{' ' * indent}NEW.{to.name} := NEW.{source.name};\n"
    there = f"NEW.{source.name}::{to.type}"
    back = f"NEW.{to.name}::{source.type}"
    blank = " " * indent
    return (
        f"{blank}NEW.{to.name} := {there};\n"
        f"{blank}IF {_differ(back, f'NEW.{source.name}', source)} THEN\n"
        f"{_refused(column, f'cannot hold this value as {to.type}', indent + 4)}"
        f"{blank}END IF;\n"
    )


def _refused(column: Expanded, reason: str, indent: int) -> str:
    blank = " " * indent
    name = column.after.name
    message = (
        f"{column.table}.{name} {reason}, until the contract of its change has been applied"
    ).replace("%", "%%")
    return (
        f"{blank}RAISE EXCEPTION {quoted(message)}\n"
        f"{blank}    USING ERRCODE = 'check_violation', COLUMN = {quoted(name)};\n"
    )


def _differ(left: str, right: str, side: Side) -> str:
    if not side.equality:
        left, right = f"({left})::text", f"({right})::text"
    return f"{left} IS DISTINCT FROM {right}"
