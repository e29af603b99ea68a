"""What may be done with what there is, and who owns it: what changes."""

from collections.abc import Iterator
from functools import partial

from partman.catalog.ddl import alter, grants, objects, order
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import Transition
from partman.catalog.ddl.objects import Statements
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.text import Wording
from partman.catalog.model import (
    OWNER,
    Catalog,
    Column,
    DefaultGrant,
    Grant,
    Object,
    Privilege,
    Reference,
    Table,
)


class Rights:
    """The part of a plan that gives and takes rights."""

    def __init__(self, sides: Transition) -> None:
        self._sides, self._say = sides, sides.say
        self._expected, self._found = sides.expected, sides.found

    def of_tables(
        self, here: Catalog, there: Catalog, *, forwards: bool
    ) -> Iterator[tuple[OrderKey, Change]]:
        """Say what may be done with each table that comes or goes."""
        for one in here.of(Table):
            if not self._sides.goes(one.reference, here, there):
                continue
            rules = objects.row_security(one, self._say)
            first = [rules] if rules else []
            if one.replica_identity != "DEFAULT":
                first.append(alter.replica_identity(one, self._say))
            last = [*grants.of_new(one, here, self._say), *give_away(one, here, self._say)]
            for key, statements in (
                (order.row_security(one.reference), tuple(first)),
                (order.grants(one.reference, ""), tuple(last)),
            ):
                ahead, back = (statements, ()) if forwards else ((), statements)
                yield key, Change(one.reference, ahead, back, is_early=not forwards)

    def changed(self) -> Iterator[tuple[OrderKey, Change]]:
        """Give and take what is different, of objects that stay."""
        names = {
            one.reference: (one.parent, one.name)
            for catalog in (self._expected, self._found)
            for one in catalog.of(Grant)
        }
        for reference, (parent, grantee) in names.items():
            if self._changes_hands(parent):
                continue
            after = _privileges(reference, self._expected)
            before = _privileges(reference, self._found)
            common = frozenset(filter(partial(self._is_common, parent), after))
            was = frozenset(filter(partial(self._is_common, parent), before))
            # All columns are there by then, and back those are not that have been dropped.
            ahead = grants.change(parent, grantee, was, common, self._say, to_be=after)
            back = grants.change(parent, grantee, common, was, self._say, to_be=was)
            yield order.grants(parent, grantee), Change(reference, tuple(ahead), tuple(back))

    def of_column(self, column: Column, catalog: Catalog) -> Iterator[str]:
        """Give what there is to a column that has just been made."""
        for grant in catalog.of(Grant):
            if grant.parent == column.parent:
                granted = frozenset(one for one in grant.privileges if one.column == column.name)
                yield from grants.change(grant.parent, grant.name, frozenset(), granted, self._say)

    def by_default(self) -> Iterator[tuple[OrderKey, Change]]:
        """Change what will be granted by default."""
        both = {
            one.reference: one
            for catalog in (self._expected, self._found)
            for one in catalog.of(DefaultGrant)
        }
        for reference, one in both.items():
            after, before = (
                frozenset(entry.privileges)
                if isinstance(entry := catalog.by_reference.get(reference), DefaultGrant)
                else grants.usual_default(one)
                for catalog in (self._expected, self._found)
            )
            yield (
                (order.DEFAULTS, one.of, 0, one.name),
                Change(
                    reference,
                    tuple(grants.default_change(one, before, after)),
                    tuple(grants.default_change(one, after, before)),
                ),
            )

    def _changes_hands(self, reference: Reference) -> bool:
        """Whether something is not on both sides, or is another one."""
        return self._sides.goes(reference, self._expected, self._found) or self._sides.goes(
            reference, self._found, self._expected
        )

    def _is_common(self, parent: Reference, one: Privilege) -> bool:
        """Whether it is not on a column that comes or goes: that has its own from the start."""
        column = Reference("column", f"{parent.name}.{one.column}")
        return not one.column or not self._changes_hands(column)


def _privileges(reference: Reference, catalog: Catalog) -> grants.Privileges:
    grant = catalog.by_reference.get(reference)
    return frozenset(grant.privileges) if isinstance(grant, Grant) else frozenset()


def give_away(one: Object, catalog: Catalog, say: Wording) -> Statements:
    """Return what gives an object that is ours to its owner; nothing if that is us."""
    to: str | None = getattr(one, "owner", None)
    if to is None or to == OWNER:
        return ()
    given = objects.role(to)
    statement = alter.owner(one, to, say)
    grant = catalog.by_reference.get(Reference("grant", f"{to} on {one.parent}"))
    may_create = isinstance(grant, Grant) and Privilege("CREATE") in grant.privileges
    if one.parent is None or may_create:
        return (statement,)
    # Only who may create in a schema can own something there.
    schema = one.parent.name
    return (
        f"GRANT CREATE ON SCHEMA {schema} TO {given}",
        statement,
        f"REVOKE CREATE ON SCHEMA {schema} FROM {given}",
    )
