"""Generate the statements for partitions and inheritance.

A partition is made like any other table, with its own indexes, keys and checks, and then attached:
so they keep their names, and the partitioned table's become one with them. A table that inherits is
created so, because only then are the columns its parent's. From then on, what the parent gets or
loses, its children get or lose.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from partman.catalog.ddl import alter, objects
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.dependents import Transition
from partman.catalog.ddl.text import SqlStyle, laid_out
from partman.catalog.model import (
    Attachment,
    Catalog,
    Column,
    Constraint,
    Index,
    Object,
    Reference,
    Table,
)


def attach(obj: Attachment, catalog: Catalog, style: SqlStyle) -> Statements | None:
    """Return the statement that attaches a partition, or makes a table inherit.

    None for a table that does not declare what it inherits: only its creation can do that.
    """
    if obj.bound is not None:
        begin = f"ALTER TABLE {style(obj.of)} ATTACH PARTITION {style(obj.name)}"
        return (laid_out(begin, style(obj.bound)),)
    if any(list(_above(part, catalog)) for part in catalog.by_parent.get(obj.parent, ())):
        return None
    return (f"ALTER {obj.parent.kind.upper()} {style(obj.name)} INHERIT {style(obj.of)}",)


class Attachments:
    """What of the objects of children is done by statements about their parents."""

    def __init__(self, transition: Transition) -> None:
        self._transition, self._style = transition, transition.style

    def detach(self, obj: Attachment, target: Catalog) -> Statements:
        """Return the statements that detach it, on the way to the target."""
        if obj.bound is None:
            child = f"ALTER {obj.parent.kind.upper()} {self._style(obj.name)}"
            return (f"{child} NO INHERIT {self._style(obj.of)}",)
        detached = f"ALTER TABLE {self._style(obj.of)} DETACH PARTITION {self._style(obj.name)}"
        if obj.parent not in target.by_reference:
            return (detached,)
        begin = f"ALTER TABLE {self._style(obj.name)} DROP CONSTRAINT"
        return (detached, *(f"{begin} {name}" for name in obj.foreign_keys))

    def is_done_by_parent(self, obj: Object, source: Catalog, target: Catalog) -> bool:
        """Whether what drops the same object of a parent also drops this one.

        With the catalogs swapped: whether what creates it also creates this one, but for an index,
        which is created before that of the parent to keep its name.
        """
        for above, attachment in _above(obj, source):
            is_new = not attachment.is_partition and self._is_dropped(obj.parent, source, target)
            if is_new and not isinstance(obj, Column):
                return True
            if self._is_kept(attachment, source, target) and self._is_dropped(
                above.reference, source, target
            ):
                return True
        return False

    def with_parent(self, obj: Object, source: Catalog) -> Statements | None:
        """Return what completes an object that was created with its parent's; None: nothing did."""
        if isinstance(obj, Column):
            return self._completed(obj, source)
        if isinstance(obj, Constraint) and obj.type == "CHECK":
            return () if obj.comment is None else (objects.comment(obj, self._style),)
        return None

    def of_new(self, obj: Object, source: Catalog) -> Iterator[str]:
        """Yield what completes the inherited columns of a table that was just created."""
        if not isinstance(obj, Table) or obj.partition_bound is not None:
            return
        for column in source.by_parent.get(obj.reference, ()):
            if isinstance(column, Column) and list(_above(column, source)):
                yield from self._completed(column, source, null_declared=column.null_declared) or ()

    def _completed(
        self, obj: Column, source: Catalog, *, null_declared: bool = False
    ) -> Statements | None:
        """Return what completes a column; ``null_declared``: so far."""
        [(above, _), *_] = _above(obj, source)
        assert isinstance(above, Column)
        so_far = replace(_inherited(obj, above), null_declared=null_declared)
        return alter.alter(obj, so_far, source, (), self._style)

    def altered(self, obj: Object, before: Object, source: Catalog, target: Catalog) -> Object:
        """Return what an object of the target is after its parent's was altered to the source."""
        if isinstance(before, Column | Constraint):
            before = self._attached(before, source, target)
        if isinstance(obj, Column) and isinstance(before, Column):
            return self._altered_with_parent(obj, before, source, target)
        return before

    def _altered_with_parent(
        self, obj: Column, before: Column, source: Catalog, target: Catalog
    ) -> Column:
        for above, attachment in _above(obj, source):
            former = target.by_reference.get(above.reference)
            if not isinstance(former, Column) or not isinstance(above, Column):
                continue
            if not self._is_kept(attachment, source, target):
                continue
            if (above.type, above.collation) != (former.type, former.collation):
                before = replace(before, type=obj.type, collation=obj.collation)
                before = replace(before, storage=None, compression=None)
            if above.null != former.null:
                before = _with_null_of(above, obj, before)
            if above.identity != former.identity:
                before = replace(before, identity=obj.identity)
        return before

    def _attached(
        self, obj: Column | Constraint, source: Catalog, target: Catalog
    ) -> Column | Constraint:
        """Return a part of a table as it is once the table inherits what it does in the source.

        It then still declares itself what it has.
        """
        before, after = (
            [each for each in catalog.by_parent.get(obj.parent, ()) if _inherits(each)]
            for catalog in (target, source)
        )
        for each in after:
            above = source.by_reference.get(_same_of(obj, each.of))
            if above and self._is_dropped(each.reference, source, target):
                return _declared(obj, above)
        return _undeclared(obj) if before and not after else obj

    def _is_kept(self, obj: Attachment, source: Catalog, target: Catalog) -> bool:
        return obj.reference in target.by_reference and not self._is_dropped(
            obj.reference, source, target
        )

    def _is_dropped(self, reference: Reference | None, source: Catalog, target: Catalog) -> bool:
        return self._transition.is_dropped(reference, source, target)


def _above(obj: Object, catalog: Catalog) -> Iterator[tuple[Object, Attachment]]:
    """Yield the same object of each parent of its table, unless its table declares it, too."""
    if not isinstance(obj, Column | Constraint | Index):
        return
    for attachment in catalog.by_parent.get(obj.parent, ()):
        if isinstance(attachment, Attachment):
            above = catalog.by_reference.get(_reference_above(obj, attachment.of))
            if above is not None:
                yield above, attachment


def _with_null_of(above: Column, obj: Column, before: Column) -> Column:
    """Return a column after that of its parent has become NOT NULL, or NULL."""
    if before.null_declared:
        return replace(before, null_declared=False)
    if before.null != "NULL" and above.null != "NULL" and before.null_constraint is not None:
        return replace(before, null_declared=True)
    return replace(before, null=obj.null)


def _declared(obj: Column | Constraint, above: Object) -> Column | Constraint:
    """Return a part of a table that has begun to inherit it from ``above``."""
    if isinstance(obj, Column) and isinstance(above, Column):
        has_both = obj.null_constraint is not None and above.null != "NULL"
        return replace(obj, declared=True, null_declared=has_both)
    is_check = isinstance(obj, Constraint) and obj.type == "CHECK"
    return replace(obj, declared=True) if is_check else obj


def _undeclared(obj: Column | Constraint) -> Column | Constraint:
    """Return a part of a table that does not inherit any more."""
    if isinstance(obj, Column):
        return replace(obj, declared=False, null_declared=False)
    return replace(obj, declared=False)


def _inherits(obj: Object) -> TypeGuard[Attachment]:
    return isinstance(obj, Attachment) and not obj.is_partition


def _same_of(obj: Column | Constraint, table: str) -> Reference:
    name = f"{table}.{obj.name}" if isinstance(obj, Column) else f"{obj.name} on {table}"
    return Reference(obj.kind, name)


def _reference_above(obj: Column | Constraint | Index, parent: str) -> Reference | None:
    match obj:
        case Column() if obj.inherited and not obj.declared:
            return _same_of(obj, parent)
        case Constraint() if obj.type == "CHECK" and obj.inherited and not obj.declared:
            return _same_of(obj, parent)
        case Constraint() | Index():
            return obj.above
    return None


def _inherited(obj: Column, above: Column) -> Column:
    """Return the column as the child gets it from its parent."""
    return replace(
        above,
        parent=obj.parent,
        name=obj.name,
        comment=None,
        statistics=None,
        options=(),
        null_name=obj.null_name,
        null_constraint=obj.null_constraint,
        null_comment=None,
        identity=obj.identity,
        declared=obj.declared,
    )
