"""The order in which objects are created; they are dropped in reverse order.

It is a topological sort over what PostgreSQL says depends on what. Objects that do not depend on
each other are sorted by class, so that the parts of a table stay together.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from partman.catalog.ddl.bodies import used_by_bodies
from partman.catalog.ddl.sequences import is_created_with_column
from partman.catalog.model import (
    Attachment,
    Catalog,
    Column,
    Composite,
    Constraint,
    DefaultGrant,
    Dependency,
    Domain,
    Enum,
    Extension,
    Function,
    Grant,
    Index,
    Object,
    Policy,
    Range,
    Reference,
    Schema,
    Sequence,
    Table,
    Trigger,
    View,
)

_FIRST = (Schema, Extension, Enum, Composite, Domain, Range, Sequence)
_CODE_CLASSES = (Function, Table, Column, View)

CODE = len(_FIRST)
OF_A_TABLE = CODE + 7
OWNERS = OF_A_TABLE + 3

OrderKey = tuple[int | str, ...]
"""A rank, then the parent's name, which keeps the parts of a table together."""


@dataclass(frozen=True)
class Order:
    """The order of a catalog's objects."""

    keys: dict[Reference, OrderKey]
    late_defaults: frozenset[Reference]
    """Columns whose defaults are set after something that needs their table."""
    circles: frozenset[Reference]
    """Objects that depend on each other, so that no order of creating them is right."""

    def default(self, column: Reference) -> OrderKey:
        """Return the key for setting a column's default."""
        late = self.keys.get(_default_of(column))
        return late or (*self.keys[column], 1)


def order(catalog: Catalog) -> Order:
    """Return the order in which the objects of a catalog can be created."""
    graph = _graph(catalog)
    keys = graph.sorted_keys()
    for obj in catalog.objects:
        unit = graph.unit_of.get(obj.reference, obj.reference)
        if unit != obj.reference and unit in keys:
            keys[obj.reference] = (*keys[unit], 0, _level(obj), obj.reference.name)
    late = frozenset(graph.late)
    return Order(keys, late, frozenset(graph.circles))


def depends(obj: Object, others: Collection[Reference], catalog: Catalog) -> bool:
    """Whether an object, or a column of a table, directly needs one of the others."""
    parts = [obj.reference]
    if isinstance(obj, Table):
        parts += [each.reference for each in catalog.by_parent.get(obj.reference, ())]
    return any(
        need.on in others
        for part in parts
        if part.kind in ("column", obj.kind)
        for need in catalog.needs.get(part, ())
    )


@dataclass
class _Graph:
    """What must be created before what. A table and its columns are one node, its unit."""

    ranks: dict[Reference, OrderKey]
    unit_of: dict[Reference, Reference]
    needs: dict[Reference, set[Reference]]
    by_default: dict[Reference, dict[Reference, set[Reference]]]
    """By table and by what is needed: the columns whose default alone needs it."""
    by_body: dict[Reference, set[Reference]]
    """What the body of a function names. The names may be those of other objects."""
    late: set[Reference] = field(default_factory=set)
    circles: set[Reference] = field(default_factory=set)

    def add(self, need: Dependency) -> None:
        """Add a dependency, except within a unit."""
        node = self.unit_of.get(need.object, need.object)
        other = self.unit_of.get(need.on, need.on)
        if other == node or other not in self.needs:
            return
        if need.by_default:
            columns = self.by_default.setdefault(node, {}).setdefault(other, set())
            columns.add(need.object)
        else:
            self.needs[node].add(other)

    def of(self, node: Reference) -> set[Reference]:
        """Return all that a node needs."""
        needed = self.needs[node] | self.by_default.get(node, {}).keys()
        return (needed | self.by_body.get(node, set())) - {node}

    def sorted_keys(self) -> dict[Reference, OrderKey]:
        """Return the key of each node. A node that comes later than its rank follows its need."""
        waits = {node: self.of(node) for node in self.needs}
        needed_by: dict[Reference, set[Reference]] = {node: set() for node in self.needs}
        for node, needed in waits.items():
            for other in needed:
                needed_by[other].add(node)
        keys: dict[Reference, OrderKey] = {}
        free = self._free(waits, keys)
        last: OrderKey = ()
        number = 0
        while len(keys) < len(self.needs):
            if not free:
                self._break_circle(waits, needed_by, keys)
                free = self._free(waits, keys)
                continue
            rank, node = heappop(free)
            last, number = (rank, 0) if rank > last else (last, number + 1)
            keys[node] = (*last, number) if number else rank
            # Unless it was left out to break a circle.
            for other in [other for other in needed_by[node] if node in waits[other]]:
                waits[other].remove(node)
                if not waits[other]:
                    heappush(free, (self.ranks[other], other))
        return keys

    def _free(
        self, waits: dict[Reference, set[Reference]], done: Collection[Reference]
    ) -> list[tuple[OrderKey, Reference]]:
        """Return the nodes that wait for nothing, as a heap."""
        free = [
            (self.ranks[node], node)
            for node, needed in waits.items()
            if not needed and node not in done
        ]
        heapify(free)
        return free

    def _break_circle(
        self,
        waits: dict[Reference, set[Reference]],
        needed_by: dict[Reference, set[Reference]],
        done: Collection[Reference],
    ) -> None:
        """Leave out one dependency of a circle, the one that is the least harm."""
        circle = self._circle(waits, done)
        pairs = list(zip(circle, (*circle[1:], circle[0]), strict=True))
        for node, other in pairs:
            if other not in self.needs[node] and (
                columns := self.by_default.get(node, {}).get(other)
            ):
                del self.by_default[node][other]
                waits[node].discard(other)
                for column in columns:
                    self._set_default_later(column, node, other, waits, needed_by, done)
                return
        for node, other in pairs:
            if other in self.by_body.get(node, ()) and other not in self.needs[node]:
                waits[node].discard(other)
                self.by_body[node].discard(other)
                return
        self.circles.update(circle)
        node, other = min(pairs, key=lambda pair: self.ranks[pair[0]])
        waits[node].discard(other)

    def _circle(
        self, waits: dict[Reference, set[Reference]], done: Collection[Reference]
    ) -> list[Reference]:
        """Return nodes of which each waits for the next one, and the last for the first."""
        node = min((node for node in waits if node not in done), key=self.ranks.__getitem__)
        path: dict[Reference, int] = {}
        while node not in path:
            path[node] = len(path)
            node = min(waits[node])
        return list(path)[path[node] :]

    def _set_default_later(
        self,
        column: Reference,
        table: Reference,
        needed: Reference,
        waits: dict[Reference, set[Reference]],
        needed_by: dict[Reference, set[Reference]],
        done: Collection[Reference],
    ) -> None:
        node = _default_of(column)
        self.late.add(column)
        if node not in self.needs:
            self.needs[node] = {table}
            self.ranks[node] = (CODE, "", len(_CODE_CLASSES), column.name)
            waits[node] = {table} - set(done)
            needed_by[node] = set()
            needed_by[table].add(node)
        self.needs[node].add(needed)
        if needed not in done:
            waits[node].add(needed)
            needed_by[needed].add(node)


def _graph(catalog: Catalog) -> _Graph:
    objects = [obj for obj in catalog.objects if not isinstance(obj, Grant | DefaultGrant)]
    unit_of = {obj.reference: unit for obj in objects if (unit := _unit(obj, catalog)) is not None}
    nodes = [obj for obj in objects if obj.reference not in unit_of]
    graph = _Graph(
        ranks={obj.reference: _rank(obj) for obj in nodes},
        unit_of=unit_of,
        needs={obj.reference: set() for obj in nodes},
        by_default={},
        by_body={},
    )
    for obj in objects:
        above = _schema_of(obj, catalog) if isinstance(obj, Sequence) else obj.parent
        if above is not None and above in catalog.by_reference:
            graph.add(Dependency(obj.reference, above))
        for need in (*catalog.needs.get(obj.reference, ()), *_of_partitions(obj, catalog)):
            graph.add(need)
    for function, used in used_by_bodies(catalog).items():
        graph.by_body[function] = {
            other for each in used if (other := unit_of.get(each, each)) in graph.needs
        }
    return graph


def _of_partitions(obj: Object, catalog: Catalog) -> Iterator[Dependency]:
    """Yield that both tables of a partition are complete before it is attached.

    An index or a key of a partition is made before that of the partitioned table.
    """
    if isinstance(obj, Attachment):
        above = Reference("table", obj.of)
        yield Dependency(obj.reference, above)
        for table in (obj.parent, above):
            for part in catalog.by_parent.get(table, ()):
                if isinstance(part, Index) or (
                    isinstance(part, Constraint) and part.referenced is None
                ):
                    yield Dependency(obj.reference, part.reference)
    elif isinstance(obj, Index | Constraint) and obj.above is not None:
        yield Dependency(obj.above, obj.reference)


def _unit(obj: Object, catalog: Catalog) -> Reference | None:
    """Return the table that creates an object together with itself; None if none does."""
    if isinstance(obj, Column):
        return obj.parent
    if isinstance(obj, Sequence) and is_created_with_column(obj, catalog):
        column = catalog.by_reference[obj.parent]
        return column.parent
    return None


def _level(obj: Object) -> int:
    """Return the order within a table, where a part is created apart from it."""
    if isinstance(obj, Sequence):
        return 0
    # A generated column needs others, which are not generated.
    return 2 if isinstance(obj, Column) and obj.generated is not None else 1


def _schema_of(obj: Object, catalog: Catalog) -> Reference:
    above = obj.parent
    while above is not None and above.kind != "schema":
        above = catalog.by_reference[above].parent
    assert above is not None
    return above


def _default_of(column: Reference) -> Reference:
    return Reference("default", column.name)


def _rank(obj: Object) -> OrderKey:
    match obj:
        case Constraint():
            return _rank_of_constraint(obj)
        case Index():
            return (CODE + 4, obj.parent.name, 0, obj.name)
        case Attachment():
            return (CODE + 5, obj.of, 0, obj.name)
        case Policy():
            return (OF_A_TABLE, obj.parent.name, 1, obj.name)
        case Trigger():
            return (OF_A_TABLE, obj.parent.name, 3, obj.name)
    if type(obj) in _FIRST:
        return (_FIRST.index(type(obj)), "", 0, obj.name)
    if type(obj) in _CODE_CLASSES:
        return (CODE, "", _CODE_CLASSES.index(type(obj)), obj.name)
    return (OF_A_TABLE + 1, obj.kind, 0, obj.name)


def _rank_of_constraint(obj: Constraint) -> OrderKey:
    if obj.parent.kind == "domain":
        rank = CODE + 1
    elif obj.referenced:
        rank = CODE + 6
    else:
        rank = CODE + (3 if obj.type == "CHECK" else 2)
    return (rank, obj.parent.name, 0, obj.name)


def row_security(table: Reference) -> OrderKey:
    """Return the sort key for altering a table's row-level security: before its policies."""
    return (OF_A_TABLE, table.name, 0, "")


def dropped_policy(policy: Policy) -> OrderKey:
    """Return the sort key for dropping a policy together with creating the new ones."""
    return (OF_A_TABLE, policy.parent.name, 2, policy.name)


def grants(parent: Reference, grantee: str) -> OrderKey:
    """Return the sort key for the grants of an object: after all else about it."""
    return (OF_A_TABLE, parent.name, 4, grantee)


def default_grants(obj: DefaultGrant, keys: dict[Reference, OrderKey]) -> OrderKey:
    """Return the sort key for default privileges: before the objects that get them."""
    after = keys[obj.parent] if obj.parent else (-1,)
    return (*after, 0, obj.of, obj.name)
