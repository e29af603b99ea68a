"""Expanded columns whose contract is open: what a migration left for the old code, until the next.

The first half of a change of type or name leaves the old column, and a trigger that keeps it in
step with the new one. The comment on the trigger's function says so, in JSON. So every database,
and every catalog, tells by itself which contracts are open.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace

from partman.catalog.model import (
    Catalog,
    Column,
    Composite,
    Constraint,
    Domain,
    Enum,
    Function,
    Grant,
    Index,
    Object,
    Range,
    Reference,
    Trigger,
)

MARK = "partman expand: "
"""What the comment on the function begins with."""

_TYPES = (Enum, Domain, Composite, Range)


@dataclass(frozen=True)
class OpenContract:
    """A column that is still there for the old code."""

    table: str
    """As SQL, like the names of the columns."""
    column: str
    """The new column."""
    old: str
    """The old column, which the contract drops."""
    is_renamed: bool
    """Whether the old code reads and writes the old column; else it uses the new one, too."""
    expanded_by: str
    """The ID of the migration that made the new column."""

    @property
    def comment(self) -> str:
        """The comment on the function of the trigger."""
        facts = {
            "table": self.table,
            "column": self.column,
            "old": self.old,
            "renamed": self.is_renamed,
            "migration": self.expanded_by,
        }
        return MARK + json.dumps(facts)

    @property
    def old_reference(self) -> Reference:
        """The old column in a catalog."""
        return Reference("column", f"{self.table}.{self.old}")


def of_comment(comment: str | None) -> OpenContract | None:
    """Return what a function's comment says; None if it says something else."""
    if comment is None or not comment.startswith(MARK):
        return None
    try:
        facts = json.loads(comment.removeprefix(MARK))
        return OpenContract(
            table=str(facts["table"]),
            column=str(facts["column"]),
            old=str(facts["old"]),
            is_renamed=bool(facts["renamed"]),
            expanded_by=str(facts["migration"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def open_contracts(catalog: Catalog) -> dict[Reference, OpenContract]:
    """Return the open contracts of a database, by the function of their trigger."""
    return {
        function.reference: contract
        for function in catalog.of(Function)
        if (contract := of_comment(function.comment)) is not None
        and contract.old_reference in catalog.by_reference
    }


def leftovers(
    catalog: Catalog, expected: Catalog, only: Collection[Reference] | None = None
) -> frozenset[Reference]:
    """Return all that open contracts will drop: columns, triggers, functions, indexes.

    A type that only an old column has, and that is not expected, is among them. ``only`` names the
    functions of the contracts that are meant; by default all are.
    """
    contracts = _meant(catalog, only)
    left = {*contracts}
    for function, contract in contracts.items():
        left.add(contract.old_reference)
        for need in catalog.needed_by.get(function, ()):
            if isinstance(catalog.by_reference.get(need.object), Trigger):
                left.add(need.object)
        for need in catalog.needed_by.get(contract.old_reference, ()):
            if isinstance(catalog.by_reference.get(need.object), Index | Constraint):
                left.add(need.object)
        for need in catalog.needs.get(contract.old_reference, ()):
            is_type = isinstance(catalog.by_reference.get(need.on), _TYPES)
            if is_type and need.on not in expected.by_reference:
                left.add(need.on)
    return frozenset(left)


def _meant(catalog: Catalog, only: Collection[Reference] | None) -> dict[Reference, OpenContract]:
    contracts = open_contracts(catalog)
    return {each: contracts[each] for each in contracts if only is None or each in only}


def without_leftovers(
    catalog: Catalog, expected: Catalog, only: Collection[Reference] | None = None
) -> Catalog:
    """Return the catalog as it is once its open contracts are closed, or ``only`` those."""
    left = leftovers(catalog, expected, only)
    if not left:
        return catalog
    columns = {(contract.table, contract.old) for contract in _meant(catalog, only).values()}
    objects = tuple(
        kept
        for obj in catalog.objects
        if obj.reference not in left and obj.parent not in left
        if (kept := _without_privileges(obj, columns)) is not None
    )
    dependencies = tuple(
        each for each in catalog.dependencies if each.object not in left and each.on not in left
    )
    return replace(catalog, objects=objects, dependencies=dependencies)


def closing(catalog: Catalog, expected: Catalog) -> list[str]:
    """Return the statements that drop what is left, on a scratch database."""
    left = leftovers(catalog, expected)
    contracts = open_contracts(catalog)
    return [
        *(
            f"ALTER TABLE {each.table} DROP COLUMN {each.old} CASCADE"
            for each in contracts.values()
        ),
        *(f"DROP FUNCTION {function.name} CASCADE" for function in contracts),
        *(
            f"DROP {'DOMAIN' if isinstance(obj, Domain) else 'TYPE'} {obj.name}"
            for obj in catalog.objects
            if obj.reference in left and isinstance(obj, _TYPES)
        ),
    ]


def _without_privileges(obj: Object, columns: set[tuple[str, str]]) -> Object | None:
    """Return an object without the privileges on old columns; None if nothing is left of it."""
    if not isinstance(obj, Grant):
        return obj
    kept = tuple(each for each in obj.privileges if (obj.parent.name, each.column) not in columns)
    if kept == obj.privileges:
        return obj
    return replace(obj, privileges=kept) if kept else None


def column_of(catalog: Catalog, table: str, name: str) -> Column | None:
    """Return a column of a table by its name."""
    found = catalog.by_reference.get(Reference("column", f"{table}.{name}"))
    return found if isinstance(found, Column) else None
