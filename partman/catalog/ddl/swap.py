"""Replace a check or a foreign key online, with no moment without one.

The new one is added beside the old one, validated, and takes its place and its name in one commit.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from partman.catalog.ddl.change import Change
from partman.catalog.model import Catalog, Constraint, Reference, Table
from partman.grammar.names import LONGEST_NAME, quoted, unquoted

_SUFFIX = "_new"


@dataclass(frozen=True)
class Swap:
    """A constraint and the one that replaces it, under the same name."""

    old: Constraint
    new: Constraint
    temporary: str
    """The name of the new one while both are there, as SQL."""

    def beside(self, constraint: Constraint) -> Constraint:
        """Return one of the two under the temporary name."""
        return replace(constraint, name=self.temporary, comment=None)

    def statements(self, table: str) -> tuple[str, ...]:
        """Return the statements that put the one with the temporary name in the other's place."""
        return (
            f"ALTER TABLE {table} DROP CONSTRAINT {self.new.name}",
            f"ALTER TABLE {table} RENAME CONSTRAINT {self.temporary} TO {self.new.name}",
        )


def swaps(changes: Collection[Change], expected: Catalog) -> dict[Reference, Swap]:
    """Return the constraints that are replaced and can be swapped, by their reference."""
    dropped = {each.reference: each.dropped for each in changes if each.dropped}
    found = {}
    for change in changes:
        old, new = dropped.get(change.reference), change.created
        if isinstance(old, Constraint) and isinstance(new, Constraint) and _fits(old, new):
            others = [each for each in changes if each.reference != change.reference]
            table = expected.by_reference.get(new.parent)
            is_partitioned = isinstance(table, Table) and table.partition_key is not None
            if not is_partitioned and not any(_forces(each, old) for each in others):
                found[change.reference] = Swap(old, new, _temporary_name(new, expected))
    return found


def _fits(old: Constraint, new: Constraint) -> bool:
    """Whether one can be added while the other is there, for the same columns."""
    return (
        old.type == new.type
        and old.type in ("CHECK", "FOREIGN KEY")
        and all(each.valid and each.enforced and not each.not_enforced for each in (old, new))
        and not (old.inherited or new.inherited)
        and (old.referenced_table, old.referenced_columns)
        == (new.referenced_table, new.referenced_columns)
        and (old.type == "CHECK" or old.columns == new.columns)
    )


def _forces(change: Change, constraint: Constraint) -> bool:
    """Whether a change may need the constraint to be dropped before it."""
    obj = change.dropped
    if isinstance(obj, Constraint) and obj.is_key:
        return obj.parent == constraint.referenced
    if change.reference.kind == "column":
        tables = {each.name for each in (constraint.parent, constraint.referenced) if each}
        return any(change.reference.name.startswith(f"{table}.") for table in tables)
    return obj is not None and obj.kind in ("function", "table")


def _temporary_name(constraint: Constraint, expected: Catalog) -> str:
    taken = {each.name for each in _siblings(constraint, expected)}
    bare = unquoted(constraint.name).encode()[: LONGEST_NAME - len(_SUFFIX) - 1]
    name = bare.decode(errors="ignore") + _SUFFIX
    while quoted(name) in taken:
        name += "_"
    return quoted(name)


def _siblings(constraint: Constraint, catalog: Catalog) -> Iterable[Constraint]:
    return (each for each in catalog.of(Constraint) if each.parent == constraint.parent)
