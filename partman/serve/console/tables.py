"""The tenant tables as the console shows them.

Piccolo Admin takes what may be read and changed from a table class. So these have no column that
holds a secret: it can be neither shown, nor changed, nor searched or sorted by. Nor have they the
organization, which ``tenant()`` knows. And their attributes are called as the columns are, because
Piccolo Admin mixes the two names up where they differ.
"""

import functools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from piccolo.columns import JSONB, Column, ForeignKey, OnDelete, Timestamptz
from piccolo.columns.readable import Readable
from piccolo.table import Table as PiccoloTable
from piccolo.table import create_table_class

from partman.errors import PartmanError
from partman.tables import TABLES, User
from partman.tables.tenant import TenantTable
from partman.tenant import current_organization

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from piccolo.query import Insert, Update
    from piccolo.table import Table
else:
    Table = object  # it is mixed in

UNUSABLE = "!"
"""The password hash of a user whom the console makes: no password has it."""

_CHANGED_AT = "updated_at"
"""When a row was changed last; with it, a form says which state of the row it was filled from."""

NAMED_BY: "Mapping[str, tuple[str, ...]]" = {
    "organizations": ("name",),
    "users": ("email",),
    "partners": ("name",),
    "opportunities": ("customer_name",),
    "quarterly_goals": ("goal_type", "year", "quarter"),
    "alerts": ("title",),
}
"""The columns that name a row for a person; the first one links to it in a list."""


class ChangedMeanwhileError(PartmanError):
    """Somebody has changed the row since the form was filled from it."""


class ConsoleTable(Table):
    """A row as it comes from a form, or goes into one."""

    stands_for: ClassVar[type[PiccoloTable]]

    @classmethod
    def get_readable(cls) -> Readable:
        """Name a row where another one refers to it."""
        columns = [cls._meta.get_column_by_name(name) for name in NAMED_BY[cls._meta.tablename]]
        return Readable(template=" ".join("%s" for _ in columns), columns=columns)

    def save(
        self,
        columns: "Sequence[Column | str] | None" = None,  # noqa: ARG002 -- as Piccolo has it
    ) -> "Insert[Table] | Update[Table]":
        """Insert the row into the organization of the block that we are in."""
        values = {name: value for name, value in self.to_dict().items() if value is not None}
        if issubclass(self.stands_for, TenantTable):
            values["organization_id"] = current_organization()
        if self.stands_for is User:
            values["password_hash"] = UNUSABLE
        return self.stands_for.insert(self.stands_for(**values))


@functools.cache
def console_tables() -> tuple[type[ConsoleTable], ...]:
    """Return one for each tenant table, in the same order."""
    made: dict[type[PiccoloTable], type[ConsoleTable]] = {}
    for table in TABLES:
        made[table] = _console_table(table, made)
    return tuple(made.values())


async def without_unchanged(
    table: type[ConsoleTable], row_id: Any, values: dict[Column, Any]
) -> dict[Column, Any]:
    """Return what a form changes: it sends all its fields, also those that may not be changed.

    Where it changes nothing, the row's name stays: an UPDATE has to have a column, and this is one
    that may be changed. From here on nobody else changes the row before this transaction's end.

    Raises ChangedMeanwhileError: what it has from before would undo what somebody else has done.
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
    name = table._meta.get_column_by_name(NAMED_BY[table._meta.tablename][0])
    return changed or {name: row[name._meta.name]}


def _same(column: Column, new: Any, old: Any) -> bool:
    if new is None or old is None:
        return new is old
    if isinstance(column, Timestamptz):
        # A form has no fractions of a second; who sends them means them.
        kept: datetime = old if new.microsecond else old.replace(microsecond=0)
        return bool(new == kept)
    if isinstance(column, JSONB):
        return _canonical(new) == _canonical(old)  # a form has its own line breaks
    return bool(new == old)


def _canonical(text: str) -> str:
    """Return JSON in one form. In Python, true would be equal to 1, and 0.1 have 17 digits."""
    return json.dumps(json.loads(text, parse_float=Decimal), sort_keys=True, default=repr)


def _console_table(
    table: type[PiccoloTable], made: "Mapping[type[PiccoloTable], type[ConsoleTable]]"
) -> type[ConsoleTable]:
    members: dict[str, Any] = {"stands_for": table}
    for column in table._meta.columns:
        if not column._meta.secret and column._meta.name != "organization":
            members[str(column._meta.db_column_name)] = _console_column(column, made)
    return create_table_class(  # type: ignore[return-value]
        table.__name__,
        (ConsoleTable, PiccoloTable),  # type: ignore[arg-type]
        {"tablename": table._meta.tablename},
        members,
    )


def _console_column(
    column: Column, made: "Mapping[type[PiccoloTable], type[ConsoleTable]]"
) -> Column:
    # A form has to say which fields cannot be left empty.
    required = not column._meta.null and column._meta.params.get("default", ...) is None
    if not isinstance(column, ForeignKey):
        copy = column.copy()
        copy._meta.required = required
        return copy
    references = column._foreign_key_meta.resolved_references  # noqa: SLF001
    return ForeignKey(
        made[references],
        null=column._meta.null,
        on_delete=OnDelete.no_action,
        required=not column._meta.null,
    )
