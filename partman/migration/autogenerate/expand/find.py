"""Find the columns whose change would block other sessions or break the running code."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from partman.catalog.expansions import column_of
from partman.catalog.model import Catalog, Column, Reference, Table
from partman.grammar.names import quoted, unquoted
from partman.migration.autogenerate.expand.column import Expanded, shortened
from partman.migration.autogenerate.piccolo_operations import Operation, Operations


@dataclass(frozen=True)
class Changed:
    """A column of an existing table that gets another type or name."""

    before: Column
    after: Column

    @property
    def is_renamed(self) -> bool:
        """Whether its name changes."""
        return self.before.name != self.after.name

    def expanded(self, expected: Catalog, found: Catalog) -> Expanded:
        """Return the column with names for the time in between."""
        if self.is_renamed:
            return Expanded(self.before, self.after, self.after.name, self.before.name)
        taken = {
            column.name
            for catalog in (expected, found)
            for column in catalog.of(Column)
            if column.parent == self.after.parent
        }
        name = unquoted(self.after.name)
        return Expanded(
            self.before,
            self.after,
            shortened(name, "_new", taken),
            shortened(name, "_old", taken),
        )

    def is_about(self, operation: Operation) -> bool:
        """Whether Piccolo's operation changes this column."""
        if operation.name not in ("alter_column", "rename_column", "drop_column", "add_column"):
            return False
        if operation.table is None or operation.db_column is None:
            return False
        table = _table(operation)
        names = {self.before.name, self.after.name}
        return table == self.after.parent.name and quoted(operation.db_column) in names


def changed_columns(
    asked: Mapping[str, Operations], expected: Catalog, found: Catalog
) -> list[Changed]:
    """Return the columns of existing tables that get another type or name.

    One that a partition or a child inherits is its parent's.
    """
    pairs = [*_renamed(asked, expected, found), *_retyped(expected, found)]
    return [each for each in pairs if not each.before.inherited]


def is_plain_table(column: Changed, expected: Catalog) -> bool:
    """Whether the table is neither partitioned nor foreign, and nothing inherits from it."""
    table = expected.by_reference.get(column.after.parent)
    return (
        isinstance(table, Table)
        and table.foreign is None
        and table.partition_key is None
        and not table.inherits
        and table.name not in expected.with_children
    )


def _renamed(
    asked: Mapping[str, Operations], expected: Catalog, found: Catalog
) -> Iterator[Changed]:
    for operations in asked.values():
        for each in operations.operations:
            if each.name != "rename_column" or not each.db_column or not each.new_db_column:
                continue
            before = column_of(found, _table(each), quoted(each.db_column))
            after = column_of(expected, _table(each), quoted(each.new_db_column))
            if before and after and before.name != after.name:
                yield Changed(before, after)


def _retyped(expected: Catalog, found: Catalog) -> Iterator[Changed]:
    for after in expected.of(Column):
        before = found.by_reference.get(after.reference)
        if isinstance(before, Column) and before.type != after.type:
            yield Changed(before, after)


def _table(operation: Operation) -> str:
    return f"{quoted(operation.schema or 'public')}.{quoted(operation.table or '')}"


def closure(catalog: Catalog, columns: set[Reference]) -> set[Reference]:
    """Return the columns, and all that depends on them, directly or not."""
    found = set(columns)
    left = list(columns)
    while left:
        for need in catalog.needed_by.get(left.pop(), ()):
            if need.object not in found and need.object.kind != "table":
                found.add(need.object)
                left.append(need.object)
    return found
