"""The tenant tables as the console shows them.

Piccolo Admin derives what may be read and changed from a table class. So these classes omit columns
with secrets, which can then be neither shown, changed, searched nor sorted by, and the tenant
column, which ``tenant()`` sets. Their attributes have the names of the columns, because Piccolo
Admin confuses the two where they differ.
"""

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from piccolo.columns import (
    JSON,
    BigInt,
    BigSerial,
    Column,
    ForeignKey,
    Integer,
    OnDelete,
    Serial,
    Timestamp,
    Timestamptz,
    Varchar,
)
from piccolo.columns.readable import Readable
from piccolo.table import Table as PiccoloTable
from piccolo.table import create_table_class

from partman.errors import PartmanError
from partman.serve.console.project_console import ProjectConsole
from partman.tenant import current_tenant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from piccolo.query import Insert, Update
    from piccolo.table import Table
else:
    Table = object  # a mixin

_CHANGED_AT = "updated_at"
"""When a row was last changed; with it, a form identifies the version of the row it shows."""


class ChangedMeanwhileError(PartmanError):
    """Another person has changed the row since the form was filled."""


class ConsoleTable(Table):
    """A row that is read from or shown in a form."""

    stands_for: ClassVar[type[PiccoloTable]]
    named_by: ClassVar[tuple[str, ...]]
    """The columns that name a row for a person; the first one links to it in a list."""
    tenant_column: ClassVar[str | None]
    """The column that refers to the tenant; None in the table of the tenants."""
    filled_in: ClassVar["Mapping[str, Any]"]
    """Values for a new row in columns that the form omits."""

    @classmethod
    def name_columns(cls) -> list[Column]:
        """Return the columns that name a row."""
        return [cls._meta.get_column_by_name(name) for name in cls.named_by]

    @classmethod
    def get_readable(cls) -> Readable:
        """Return the text that names a row where another one refers to it."""
        columns = cls.name_columns()
        return Readable(template=" ".join("%s" for _ in columns), columns=columns)

    def save(
        self,
        columns: "Sequence[Column | str] | None" = None,  # noqa: ARG002 -- as Piccolo has it
    ) -> "Insert[Table] | Update[Table]":
        """Insert the row for the current tenant."""
        values = {name: value for name, value in self.to_dict().items() if value is not None}
        values |= self.filled_in
        if self.tenant_column is not None:
            values[self.tenant_column] = current_tenant()
        return self.stands_for.insert(self.stands_for(**values))


def console_tables(console: ProjectConsole) -> tuple[type[ConsoleTable], ...]:
    """Return a console table for each table of the console, in the same order."""
    made: dict[type[PiccoloTable], type[ConsoleTable]] = {}
    for table in console.tables:
        made[table] = _console_table(table, console, made)
    return tuple(made.values())


async def without_unchanged(
    table: type[ConsoleTable], row_id: Any, values: dict[Column, Any]
) -> dict[Column, Any]:
    """Return the values that a form changes; it sends all its fields, even read-only ones.

    If it changes nothing, the row's name is set to its current value: an UPDATE needs a column, and
    this one may be changed. The row is locked until the end of the transaction.

    Raises ChangedMeanwhileError, because saving an outdated form would undo another person's
    change.
    """
    this = table.select().where(table._meta.primary_key == row_id).first()
    row = await this.lock_rows("NO KEY UPDATE")
    if row is None:
        return values  # it has just been deleted
    changed = {
        column: value
        for column, value in values.items()
        if not _same(column, value, row[column._meta.name])
    }
    if any(column._meta.name == _CHANGED_AT for column in changed):
        raise ChangedMeanwhileError
    columns = (*table.name_columns(), *table._meta.columns)
    unchanged = next(column for column in columns if not column._meta.primary_key)
    return changed or {unchanged: row[unchanged._meta.name]}


def _same(column: Column, new: Any, old: Any) -> bool:
    if new is None or old is None:
        return new is old
    if isinstance(column, Timestamptz | Timestamp):
        # A form omits fractions of a second; a program that sends them means them.
        kept: datetime = old if new.microsecond else old.replace(microsecond=0)
        return bool(new == kept)
    if isinstance(column, JSON):
        return _canonical(new) == _canonical(old)  # forms use their own line breaks
    return bool(new == old)


def _canonical(text: str) -> str:
    """Return JSON in a canonical form. In Python, true equals 1, and 0.1 may have 17 digits."""
    return json.dumps(json.loads(text, parse_float=Decimal), sort_keys=True, default=repr)


def _console_table(
    table: type[PiccoloTable],
    console: ProjectConsole,
    made: "Mapping[type[PiccoloTable], type[ConsoleTable]]",
) -> type[ConsoleTable]:
    config, tenant_column = console.config, console.tenancy.column
    is_tenants = table is console.tenants.table
    filled_in = config.filled_in.get(table, {})
    members: dict[str, Any] = {
        "stands_for": table,
        "named_by": tuple(map(_name, config.name_columns(table))),
        "tenant_column": None if is_tenants else tenant_column,
        "filled_in": {_name(column): value for column, value in filled_in.items()},
    }
    for column in table._meta.columns:
        if not column._meta.secret and (is_tenants or _name(column) != tenant_column):
            members[_name(column)] = _console_column(column, made)
    return create_table_class(  # type: ignore[return-value]
        table.__name__,
        (ConsoleTable, PiccoloTable),  # type: ignore[arg-type]
        {"tablename": table._meta.tablename, "schema": table._meta.schema},
        members,
    )


def _name(column: Column) -> str:
    return str(column._meta.db_column_name)


def _console_column(
    column: Column, made: "Mapping[type[PiccoloTable], type[ConsoleTable]]"
) -> Column:
    if isinstance(column, ForeignKey):
        return _console_reference(column, made)
    copy = column.copy()
    # The form has to mark required fields.
    has_no_default = column._meta.params.get("default", ...) is None
    copy._meta.required = not column._meta.null and has_no_default
    return copy


def _console_reference(
    column: ForeignKey[Any], made: "Mapping[type[PiccoloTable], type[ConsoleTable]]"
) -> Column:
    """Return a reference to the console's own table, or a plain value if it has none."""
    options: dict[str, Any] = {"null": column._meta.null, "required": not column._meta.null}
    meta = column._foreign_key_meta  # noqa: SLF001 -- nothing else tells what it refers to
    references, target = meta.resolved_references, meta.resolved_target_column
    if references in made or references is column._meta.table:
        return ForeignKey(
            made.get(references, "self"),
            on_delete=OnDelete.no_action,
            target_column=_name(target),
            **options,
        )
    if isinstance(target, Varchar):
        return Varchar(target.length, default=None, **options)
    of_a_sequence: dict[type[Column], type[Column]] = {Serial: Integer, BigSerial: BigInt}
    return of_a_sequence.get(type(target), type(target))(default=None, **options)
