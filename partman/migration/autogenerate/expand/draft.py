"""Write the first half for the columns of one run of ``partman new``."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from partman.catalog.ddl.change import Change
from partman.catalog.ddl.online import is_slow
from partman.catalog.ddl.remedy import plan
from partman.catalog.ddl.requirements import RowRequirement
from partman.catalog.ddl.text import SqlStyle, style_for
from partman.catalog.expansions import without_leftovers
from partman.catalog.model import (
    Attachment,
    Catalog,
    Column,
    Domain,
    Enum,
    Grant,
    Object,
    Reference,
    Table,
    sort_key,
)
from partman.catalog.model import (
    Sequence as SequenceObject,
)
from partman.migration.autogenerate.expand import facts
from partman.migration.autogenerate.expand.column import Expanded
from partman.migration.autogenerate.expand.dependents import names_of, read_pairs
from partman.migration.autogenerate.expand.find import Changed, closure, is_plain_table
from partman.migration.autogenerate.expand.steps import Expansion, Step, in_one, sql_of

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Database = AbstractAsyncContextManager["Connection[Record]"]
_TYPES = (Enum, Domain)


class Databases(Protocol):
    """The scratch databases that the work needs."""

    def of_classes(self) -> Database:
        """Return one that the table classes have built."""

    def before_expansion(self) -> Database:
        """Return one on which the other migrations of this run were applied."""

    async def read(self, connection: "Connection[Record]") -> Catalog:
        """Return the catalog as the table classes would be read."""


@dataclass(frozen=True)
class FirstHalf:
    """The steps of the migration and what they need."""

    steps: tuple[Step, ...]
    requirements: tuple[RowRequirement, ...]


def its_own(columns: Iterable[Changed], expected: Catalog, found: Catalog) -> set[Reference]:
    """Return what is left to the expansion: columns, what depends on them, their sequences.

    Also the types that only an old column has: the contract drops them.
    """
    old = {each.before.reference for each in columns}
    new = {each.after.reference for each in columns}
    own = closure(found, old) | closure(expected, new)
    names = {reference.name for reference in old}
    for catalog in (found, expected):
        own |= {each.reference for each in catalog.of(SequenceObject) if each.owned_by in names}
    for reference in old:
        own |= {
            need.on
            for need in found.needs.get(reference, ())
            if isinstance(found.by_reference.get(need.on), _TYPES)
            and need.on not in expected.by_reference
        }
    tables = {each.after.parent for each in columns if each.is_renamed}
    for catalog in (found, expected):
        own |= {each.reference for each in catalog.of(Grant) if each.parent in tables}
    return own


def without_expansion(expected: Catalog, found: Catalog, own: Collection[Reference]) -> Catalog:
    """Return what is expected, with the objects of the expansion as they are found."""
    objects = [each for each in expected.objects if each.reference not in own]
    kept = [each for each in found.objects if each.reference in own]
    dependencies = [
        need
        for catalog, listed in ((expected, objects), (found, kept))
        for obj in listed
        for need in catalog.needs.get(obj.reference, ())
    ]
    return Catalog(tuple(sorted([*objects, *kept], key=sort_key)), dependencies=tuple(dependencies))


async def first_half(
    columns: Sequence[Changed],
    expected: Catalog,
    found: Catalog,
    databases: Databases,
    *,
    verbatim: bool,
) -> FirstHalf:
    """Return the first half. Raises NotExpressibleError.

    ``found`` is the catalog before it.
    """
    style = SqlStyle(verbatim=True) if verbatim else style_for(expected, found)
    named = [each.expanded(expected, found) for each in columns]
    refuse_kinds(columns, named, expected, found)
    references = its_own(columns, expected, found)
    taken = names_of(expected, found)
    async with databases.of_classes() as connection:
        names = [(each, each.after.name, each.new) for each in named]
        new = await read_pairs(connection, expected, references, names, "_new", taken)
    async with databases.before_expansion() as connection:
        done = []
        for each in named:
            volatile = await facts.is_volatile(connection, each.after)
            done.append(replace(each, has_volatile_default=volatile))
            await facts.refuse_what_cannot_be_kept_in_step(connection, done[-1])
        types = {its.type for each in done for its in (each.before, each.after)}
        names = [(each, each.before.name, each.old) for each in done]
        old = await read_pairs(connection, found, references, names, "_old", taken)
        expansion = Expansion(
            tuple(done), expected, found, tuple(new), tuple(old),
            await facts.comparable(connection, types), style,
        )  # fmt: skip
        for statement in sql_of(expansion.build()):
            await connection.execute(statement)
        async with connection.transaction():
            for statement in expansion.swap():
                await connection.execute(statement)
        after = without_leftovers(await databases.read(connection), expected)
    rest = plan(expected, after, verbatim=verbatim)
    if rest.unwritten:
        raise facts.refused(done[0], f"{rest.unwritten[0].reference} cannot be carried over")
    for change in rest.changes:
        _refuse_slow(change, expected, after, done[0])
    return FirstHalf(tuple(in_one(expansion, rest.changes)), tuple(expansion.requirements()))


def refuse_kinds(
    columns: Sequence[Changed], named: Sequence[Expanded], expected: Catalog, found: Catalog
) -> None:
    """Raise NotExpressibleError for a kind of table or column that cannot be expanded."""
    for changed, column in zip(columns, named, strict=True):
        both = (column.before, column.after)
        if not (is_plain_table(changed, expected) and is_plain_table(changed, found)):
            raise facts.refused(column, f"{column.table} is partitioned, foreign or inherits")
        if any(its.generated for its in both):
            raise facts.refused(column, "it is a generated column")
        if any(its.identity for its in both):
            raise facts.refused(column, "it is GENERATED AS IDENTITY")
        if any(its.null == "NOT NULL NOT VALID" for its in both):
            raise facts.refused(column, "its NOT NULL is NOT VALID")
        if column.is_renamed:
            _refuse_renamed(column, found)


def _refuse_renamed(column: Expanded, found: Catalog) -> None:
    reference = column.before.reference
    if any(each.owned_by == reference.name for each in found.of(SequenceObject)):
        raise facts.refused(column, "it has a sequence of its own")
    for need in found.needed_by.get(reference, ()):
        if getattr(found.by_reference.get(need.object), "type", None) == "PRIMARY KEY":
            raise facts.refused(column, "it is in the primary key")


def _refuse_slow(change: Change, expected: Catalog, found: Catalog, column: Expanded) -> None:
    """Refuse what would take long, or change rows, in the one transaction of the swap."""
    obj: Object | None = (
        change.created
        or change.dropped
        or expected.by_reference.get(change.reference)
        or found.by_reference.get(change.reference)
    )
    before = found.by_reference.get(change.reference)
    is_column = isinstance(obj, Column) and (
        change.created or change.dropped or (
            isinstance(before, Column)
            and (obj.type, obj.generated) != (before.type, before.generated)
        )
    )  # fmt: skip
    is_table = isinstance(change.created or change.dropped, Table | Attachment)
    tables = {each.reference for each in found.of(Table)}
    if is_column or is_table or is_slow(change, tables) or change.reference.kind.startswith("mat"):
        raise facts.refused(
            column, f"{change.reference} depends on it and cannot be carried over in a moment"
        )
