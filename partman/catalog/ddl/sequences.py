"""Generate the SQL of sequences, alone and as part of a serial or identity column."""

from partman.catalog.ddl.text import SqlStyle, quoted
from partman.catalog.model import Catalog, Column, Reference, Sequence
from partman.grammar.names import LONGEST_NAME, unquoted, without_schema
from partman.grammar.names import quoted as quoted_name

SERIAL = {"integer": "serial", "bigint": "bigserial", "smallint": "smallserial"}
_LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def is_serial(obj: Column, catalog: Catalog) -> bool:
    """Whether ``serial`` fully describes a column, its sequence and its default."""
    name = usual_name(obj)
    sequence = catalog.by_reference.get(Reference("sequence", name)) if name else None
    if not isinstance(sequence, Sequence) or obj.type not in SERIAL or not_null(obj) != obj.null:
        return False
    return (
        obj.default == f"nextval({quoted(sequence.name)}::regclass)"
        and sequence.owned_by == obj.reference.name
        and not sequence.unlogged
        and sequence.comment is None
        and nondefault_options(sequence, obj) == []
    )


def is_created_with_column(obj: Sequence, catalog: Catalog) -> bool:
    """Whether a column is created together with this sequence: as identity or serial."""
    if obj.identity:
        return True
    column = catalog.by_reference.get(obj.parent)
    return (
        isinstance(column, Column) and obj.name == usual_name(column) and is_serial(column, catalog)
    )


def usual_name(obj: Column) -> str | None:
    """Return the name that PostgreSQL gives a column's sequence; None if it would be cut."""
    table = without_schema(obj.parent.name)
    name = f"{unquoted(table)}_{unquoted(obj.name)}_seq"
    if len(name.encode()) > LONGEST_NAME:
        return None
    return obj.parent.name.removesuffix(table) + quoted_name(name)


def of_identity(obj: Column, catalog: Catalog) -> Sequence | None:
    """Return the sequence of an identity column; None for other columns."""
    if obj.identity is None:
        return None
    return next(
        (
            each
            for each in catalog.by_parent.get(obj.reference, ())
            if isinstance(each, Sequence) and each.identity
        ),
        None,
    )


def identity(obj: Column, catalog: Catalog, style: SqlStyle) -> str:
    """Return a column's identity, with what is not usual about its sequence."""
    words: list[str] = []
    if sequence := of_identity(obj, catalog):
        if sequence.name != usual_name(obj):
            words.append(f"SEQUENCE NAME {style(sequence.name)}")
        words += nondefault_options(sequence, obj)
    options = f" ({' '.join(words)})" if words else ""
    return f"GENERATED {obj.identity} AS IDENTITY{options}"


def default(obj: Column, catalog: Catalog, style: SqlStyle) -> str | None:
    """Return what follows ALTER COLUMN to set a column's default or identity; None for neither."""
    if obj.identity:
        return f"ADD {identity(obj, catalog, style)}"
    return None if obj.default is None else f"SET DEFAULT {style(obj.default)}"


def no_default(obj: Column) -> str | None:
    """Return what follows ALTER COLUMN to drop a column's default or identity."""
    if obj.identity:
        return "DROP IDENTITY"
    return None if obj.default is None else "DROP DEFAULT"


def owned_by(obj: Sequence, style: SqlStyle, *, column: str | None) -> str:
    """Return the statement that says which column a sequence belongs to."""
    return f"ALTER SEQUENCE {style(obj.name)} OWNED BY {style(column) if column else 'NONE'}"


def options(obj: Sequence) -> str:
    """Return all options of a sequence."""
    return (
        f"AS {obj.type} START {obj.start} INCREMENT {obj.increment} MINVALUE {obj.minimum}"
        f" MAXVALUE {obj.maximum} CACHE {obj.cache} {'CYCLE' if obj.cycle else 'NO CYCLE'}"
    )


def nondefault_options(obj: Sequence, column: Column | None = None) -> list[str]:
    """Return the options that differ from the usual ones; ``column`` makes the sequence."""
    largest = _LIMITS[obj.type]
    up = obj.increment > 0
    minimum, maximum = (1, largest) if up else (-largest - 1, -1)
    usual_type = column.type if column else "bigint"
    is_default = {
        f"AS {obj.type}": obj.type == usual_type,
        f"INCREMENT {obj.increment}": obj.increment == 1,
        f"MINVALUE {obj.minimum}": obj.minimum == minimum,
        f"MAXVALUE {obj.maximum}": obj.maximum == maximum,
        f"START {obj.start}": obj.start == (obj.minimum if up else obj.maximum),
        f"CACHE {obj.cache}": obj.cache == 1,
        "CYCLE": not obj.cycle,
    }
    return [option for option, default in is_default.items() if not default]


def not_null(obj: Column, column: str | None = None) -> str:
    """Return NOT NULL as in the definition of a column, or of a table's ``column``."""
    name = f"CONSTRAINT {obj.null_written_name}" if obj.null_written_name else None
    words = [name, "NOT NULL", column, None if obj.null_is_inherited else "NO INHERIT"]
    return " ".join(filter(None, words))
