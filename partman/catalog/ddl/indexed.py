"""Generate the changes of what a table says of its indexes: REPLICA IDENTITY and CLUSTER.

An index that is created again forgets it, and each way needs the index to exist. So it is set after
the indexes of the catalog that it leads to are created.
"""

from collections.abc import Iterator

from partman.catalog.ddl import attributes, order
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import Transition
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import Catalog, Table, View


def changes(
    transition: Transition, source: Catalog, target: Catalog, *, forwards: bool
) -> Iterator[tuple[OrderKey, Change]]:
    """Yield what makes each table of ``source`` name its indexes, on the way from ``target``."""
    tables: tuple[Table | View, ...] = (*source.of(Table), *source.of(View))
    for obj in tables:
        before = target.by_reference.get(obj.reference)
        is_new = transition.is_dropped(obj.reference, source, target)
        statements = tuple(_statements(obj, None if is_new else before, transition))
        if statements:
            forward, backward = (statements, ()) if forwards else ((), statements)
            key = order.row_security(obj.reference)
            yield key, Change(obj.reference, forward, backward, is_early=not forwards)


def _statements(obj: Table | View, before: object, transition: Transition) -> Iterator[str]:
    """Yield what sets them; ``before`` is None for a table that has just been created."""
    was = before if isinstance(before, Table | View) else None
    if isinstance(obj, Table):
        so_far = was.replica_identity if isinstance(was, Table) else "DEFAULT"
        index = obj.replica_identity.partition(" ")[2]
        if obj.replica_identity != so_far or _is_replaced(index, transition):
            yield replica_identity(obj, transition.style)
    clustered = was.clustered_on if was else None
    if obj.clustered_on != clustered or _is_replaced(obj.clustered_on, transition):
        yield attributes.clustered_on(obj, transition.style)


def _is_replaced(index: str | None, transition: Transition) -> bool:
    """Whether an index is created again: by itself, or with its constraint."""
    if not index:
        return False
    name = index.rpartition(".")[2]
    return any(
        (each.kind == "index" and each.name == index)
        or (each.kind == "constraint" and each.name.partition(" on ")[0] == name)
        for each in transition.replaced
    )


def replica_identity(obj: Table, style: SqlStyle) -> str:
    """Return the statement that sets a table's replica identity."""
    kind, _, name = obj.replica_identity.partition(" ")
    using = f"USING INDEX {name.rpartition('.')[2]}" if name else kind
    return f"ALTER TABLE {style(obj.name)} REPLICA IDENTITY {using}"
