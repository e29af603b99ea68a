"""The tables as the console shows them, and their columns as the fields of a form.

Columns with secrets, and the tenant column, which ``tenant()`` sets, are no fields: they can be
neither shown, changed, searched nor sorted by.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from piccolo.columns import Column, Email, ForeignKey
from piccolo.columns.defaults.base import Default
from piccolo.table import Table

from partman.serve.console.config import ConsoleConfig
from partman.serve.console.project_console import ProjectConsole
from partman.serve.console.values import Kind, in_words, kind_of, to_text
from partman.wording import in_words as words

CHANGED_AT = "updated_at"
"""When a row was last changed; with it, a form identifies the version of the row it shows."""

Row = Mapping[str, Any]
"""A row by the names of its fields."""


@dataclass(frozen=True)
class Choice:
    """One of the values that a column may have."""

    text: str
    """As the form sends it."""
    label: str
    value: Any


@dataclass(frozen=True, eq=False)
class Field:
    """A column as people see it. Equal is what is the same: columns compare to conditions."""

    column: Column
    kind: Kind
    choices: tuple[Choice, ...] = ()
    refers_to: type[Table] | None = None
    """The table, shown by the console, that the value refers to."""
    target: Column | None = None
    """The column that a foreign key refers to."""
    currency: str | None = None
    """The code of an amount's currency."""
    currency_of: str | None = None
    """The field of the row that has it."""
    details: tuple[str, ...] = ()
    """Keys that the form of a JSON value always offers."""
    is_email: bool = False
    read_only: bool = False

    @property
    def name(self) -> str:
        """The column's name in the database, and the field's in a form and an address."""
        return str(self.column._meta.db_column_name)

    @property
    def label(self) -> str:
        """The word for it: Partner rather than partner_id, and Active rather than is_active."""
        if self.kind is Kind.BOOLEAN:
            return words(self.name.removeprefix("is_"))
        is_reference = isinstance(self.column, ForeignKey)
        return words(self.name.removesuffix("_id") if is_reference else self.name)

    @property
    def required(self) -> bool:
        """Whether a new row needs a value: the column is neither nullable nor has a default."""
        if isinstance(self.column, ForeignKey):
            return not self.column._meta.null
        has_no_default = self.column._meta.params.get("default", ...) is None
        return not self.column._meta.null and has_no_default

    @property
    def is_number(self) -> bool:
        """Whether it is to be aligned at the right."""
        plain = not self.choices and not isinstance(self.column, ForeignKey)
        return plain and self.kind in {Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT}

    @property
    def values_of(self) -> Column:
        """The column whose type its values have."""
        return self.column if self.target is None else self.target

    @property
    def options(self) -> list[tuple[str, str]]:
        """The only values that it may have, with the words for them; empty if it may have any."""
        if self.choices:
            return [(choice.text, choice.label) for choice in self.choices]
        return [("true", "Yes"), ("false", "No")] if self.kind is Kind.BOOLEAN else []

    def text(self, value: Any) -> str:
        """Return a value as the text of the field."""
        return to_text(self.kind, value)

    def shown(self, row: Row) -> str:
        """Return the value of a row as people write it; empty where there is none."""
        value = row[self.name]
        if value is None:
            return ""
        for choice in self.choices:
            if choice.value == value:
                return choice.label
        code = row[self.currency_of] if self.currency_of else self.currency
        return " ".join(filter(None, (in_words(self.kind, value), code)))

    @property
    def made_when_saved(self) -> bool:
        """Whether a new row's default is made only then, as a time or an ID is."""
        default = getattr(self.column, "default", None)
        return isinstance(default, Default) or callable(default)

    def default_text(self) -> str:
        """Return the text with which the field of a new row begins."""
        if self.made_when_saved or isinstance(self.column, ForeignKey):
            return ""
        return self.text(self.column.get_default_value())


@dataclass(frozen=True, eq=False)
class ShownTable:
    """A table of the console."""

    table: type[Table]
    fields: tuple[Field, ...]
    names: tuple[Field, ...]
    """The fields that name a row."""
    tenant: str | None
    """The attribute that refers to the tenant; None in the table of the tenants."""
    filled_in: Mapping[Column, Any]
    """Values for a new row in columns that are no fields."""

    @property
    def slug(self) -> str:
        """Its name in an address."""
        meta = self.table._meta
        return f"{meta.schema}.{meta.tablename}" if meta.schema else str(meta.tablename)

    @property
    def path(self) -> str:
        """The address of its list."""
        return f"/console/{self.slug}/"

    @property
    def noun(self) -> str:
        """The word for a row."""
        return words(self.table.__name__).lower()

    @property
    def plural(self) -> str:
        """The word for its rows: the name of the table."""
        return words(str(self.table._meta.tablename))

    @property
    def key(self) -> Field:
        """The field of the primary key."""
        primary = self.table._meta.primary_key
        return next(field for field in self.fields if field.column is primary)

    @property
    def version(self) -> Field | None:
        """The field that says when a row was last changed."""
        return next((field for field in self.fields if field.name == CHANGED_AT), None)

    def name_of(self, row: Row) -> str:
        """Return the name of a row for a person."""
        named = " ".join(field.shown(row) for field in self.names if field is not self.key)
        return named.strip() or f"{words(self.table.__name__)} {self.key_of(row)}"

    def key_of(self, row: Row) -> str:
        """Return the primary key of a row as text."""
        return self.key.text(row[self.key.name])


@dataclass(frozen=True)
class ShownTables:
    """All tables of the console, the table of the tenants first."""

    tables: tuple[ShownTable, ...]
    rules: Mapping[str, str]
    """What check constraints demand, by their names; see ConsoleConfig."""

    def __iter__(self) -> Iterator[ShownTable]:
        """Iterate the tables."""
        return iter(self.tables)

    def named(self, slug: str) -> ShownTable | None:
        """Return the table with this name in an address."""
        return next((each for each in self.tables if each.slug == slug), None)

    def of(self, table: type[Table]) -> ShownTable:
        """Return a table by its class."""
        return next(each for each in self.tables if each.table is table)

    def target_of(self, field: Field) -> "tuple[ShownTable, Field] | None":
        """Return what a field refers to: a table of the console, and a field of that."""
        if field.refers_to is None:
            return None
        other = self.of(field.refers_to)
        return other, next(each for each in other.fields if each.column is field.target)

    def references_to(self, shown: ShownTable) -> list[tuple[ShownTable, Field]]:
        """Return the fields that refer to a table's primary key, with their tables."""
        return [
            (each, field)
            for each in self.tables
            for field in each.fields
            if field.refers_to is shown.table and field.target is shown.key.column
        ]


def shown_tables(console: ProjectConsole) -> ShownTables:
    """Return the tables of a console."""
    shown = tuple(_shown(table, console) for table in console.tables)
    return ShownTables(shown, console.config.rules)


def _shown(table: type[Table], console: ProjectConsole) -> ShownTable:
    is_tenants = table is console.tenants.table
    hidden = None if is_tenants else console.tenancy.column
    fields = tuple(
        _field(column, console)
        for column in table._meta.columns
        if not column._meta.secret and str(column._meta.db_column_name) != hidden
    )
    named = console.config.name_columns(table)
    return ShownTable(
        table=table,
        fields=fields,
        names=tuple(field for name in named for field in fields if _is(field.column, name)),
        tenant=None if is_tenants else console.tenancy.attribute,
        filled_in=console.config.filled_in.get(table, {}),
    )


def _field(column: Column, console: ProjectConsole) -> Field:
    config = console.config
    target, refers_to = None, None
    if isinstance(column, ForeignKey):
        meta = column._foreign_key_meta  # noqa: SLF001 -- nothing else tells what it refers to
        target = meta.resolved_target_column
        refers_to = meta.resolved_references
        if refers_to not in console.tables or target._meta.secret:
            refers_to = None
    currency = next((code for amount, code in config.amounts.items() if _is(amount, column)), None)
    return Field(
        column=column,
        kind=kind_of(column if target is None else target),
        choices=_choices(column),
        refers_to=refers_to,
        target=target,
        currency=currency if isinstance(currency, str) else None,
        currency_of=str(currency._meta.db_column_name) if isinstance(currency, Column) else None,
        details=_details(column, config),
        is_email=isinstance(column, Email) or any(_is(column, each) for each in config.emails),
        read_only=_is_read_only(column, config),
    )


def _details(column: Column, config: ConsoleConfig) -> tuple[str, ...]:
    found = (keys for each, keys in config.details.items() if _is(column, each))
    return tuple(next(found, ()))


def _is_read_only(column: Column, config: ConsoleConfig) -> bool:
    if column._meta.primary_key or column._meta.db_column_name == CHANGED_AT:
        return True
    return any(_is(column, each) for each in config.read_only)


def _is(one: Column, other: Column) -> bool:
    """Whether they are the same column: Piccolo compares columns to make conditions of them."""
    return one._meta.table is other._meta.table and one._meta.name == other._meta.name


def _choices(column: Column) -> tuple[Choice, ...]:
    choices = column._meta.choices
    if choices is None:
        return ()
    kind = kind_of(column)
    values = [each.value if isinstance(each, Enum) else each for each in choices]
    return tuple(
        Choice(
            to_text(kind, value), words(value) if isinstance(value, str) else _named(each), value
        )
        for each, value in zip(choices, values, strict=True)
    )


def _named(member: Any) -> str:
    return words(member.name) if isinstance(member, Enum) else str(member)
