"""Generate the changes of grants, default privileges and owners."""

from collections.abc import Iterator
from functools import partial

from partman.catalog.ddl import alter, grants, objects, order
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import Transition
from partman.catalog.ddl.order import OrderKey
from partman.catalog.ddl.text import SqlStyle
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


class GrantChanges:
    """The changes of grants in a transition."""

    def __init__(self, transition: Transition) -> None:
        self._transition, self._style = transition, transition.style
        self._expected, self._found = transition.expected, transition.found

    def of_tables(
        self, source: Catalog, target: Catalog, *, forwards: bool
    ) -> Iterator[tuple[OrderKey, Change]]:
        """Yield row-level security, grants and owner of each created or dropped table."""
        for obj in source.of(Table):
            if not self._transition.is_dropped(obj.reference, source, target):
                continue
            rules = objects.row_security(obj, self._style)
            first = [rules] if rules else []
            last = [
                *grants.of_new(obj, source, self._style),
                *transfer_ownership(obj, source, self._style),
            ]
            for key, statements in (
                (order.row_security(obj.reference), tuple(first)),
                (order.grants(obj.reference, ""), tuple(last)),
            ):
                forward, backward = (statements, ()) if forwards else ((), statements)
                yield key, Change(obj.reference, forward, backward, is_early=not forwards)

    def changed(self) -> Iterator[tuple[OrderKey, Change]]:
        """Yield GRANT and REVOKE for the objects in both catalogs."""
        names = {
            obj.reference: (obj.parent, obj.name)
            for catalog in (self._expected, self._found)
            for obj in catalog.of(Grant)
        }
        for reference, (parent, grantee) in names.items():
            if self._is_created_or_dropped(parent):
                continue
            after = _privileges(reference, self._expected)
            before = _privileges(reference, self._found)
            new = frozenset(filter(partial(self._is_common, parent), after))
            old = frozenset(filter(partial(self._is_common, parent), before))
            # Forwards, all new columns exist by then; backwards, the dropped ones do not exist yet.
            forwards = grants.change(parent, grantee, old, new, self._style, final=after)
            backwards = grants.change(parent, grantee, new, old, self._style, final=old)
            yield (
                order.grants(parent, grantee),
                Change(reference, tuple(forwards), tuple(backwards)),
            )

    def of_column(self, column: Column, catalog: Catalog) -> Iterator[str]:
        """Yield the grants on a column that was just created."""
        for grant in catalog.by_parent.get(column.parent, ()):
            if isinstance(grant, Grant):
                granted = frozenset(
                    privilege for privilege in grant.privileges if privilege.column == column.name
                )
                yield from grants.change(
                    grant.parent, grant.name, frozenset(), granted, self._style
                )

    def by_default(self, *, forwards: bool) -> Iterator[tuple[OrderKey, Change]]:
        """Yield the changes of default privileges; not forwards: those of dropped schemas.

        They come before the objects that get them.
        """
        catalog_of = self._expected if forwards else self._found
        both = {
            obj.reference: obj
            for catalog in (self._expected, self._found)
            for obj in catalog.of(DefaultGrant)
        }
        for reference, obj in both.items():
            after, before = (
                frozenset(entry.privileges)
                if isinstance(entry := catalog.by_reference.get(reference), DefaultGrant)
                else grants.builtin_default(obj)
                for catalog in (self._expected, self._found)
            )
            is_of_dropped = obj.parent is not None and obj.parent not in self._expected.by_reference
            if forwards is is_of_dropped:
                continue
            change = tuple(grants.default_change(obj, before, after))
            undo = tuple(grants.default_change(obj, after, before))
            is_of_new = obj.parent is not None and obj.parent not in self._found.by_reference
            yield (
                order.default_grants(obj, self._transition.keys(catalog_of)),
                # They are dropped with their schema.
                Change(
                    reference,
                    () if is_of_dropped else change,
                    () if is_of_new else undo,
                    is_early=not forwards,
                ),
            )

    def _is_created_or_dropped(self, reference: Reference) -> bool:
        """Whether the object is created, dropped or replaced."""
        return self._transition.is_dropped(
            reference, self._expected, self._found
        ) or self._transition.is_dropped(reference, self._found, self._expected)

    def _is_common(self, parent: Reference, privilege: Privilege) -> bool:
        """Whether a privilege is not on a created or dropped column, which has its own grants."""
        column = Reference("column", f"{parent.name}.{privilege.column}")
        return not privilege.column or not self._is_created_or_dropped(column)


def _privileges(reference: Reference, catalog: Catalog) -> grants.Privileges:
    grant = catalog.by_reference.get(reference)
    return frozenset(grant.privileges) if isinstance(grant, Grant) else frozenset()


def _schema(obj: Object, catalog: Catalog) -> str:
    """Return the schema that contains an object, or the table that it is about."""
    above = obj.parent
    while above and above.kind != "schema":
        above = catalog.by_reference[above].parent
    assert above is not None
    return above.name


def transfer_ownership(obj: Object, catalog: Catalog, style: SqlStyle) -> Statements:
    """Return statements that transfer an object from OWNER to its owner; none if that is OWNER."""
    to: str | None = getattr(obj, "owner", None)
    if to is None or to == OWNER:
        return ()
    given = objects.role(to)
    statement = alter.owner(obj, to, style)
    grant = catalog.by_reference.get(Reference("grant", f"{to} on {obj.parent}"))
    may_create = isinstance(grant, Grant) and Privilege("CREATE") in grant.privileges
    if obj.parent is None or may_create:
        return (statement,)
    # An object's owner needs CREATE on the schema.
    schema = _schema(obj, catalog)
    return (
        f"GRANT CREATE ON SCHEMA {schema} TO {given}",
        statement,
        f"REVOKE CREATE ON SCHEMA {schema} FROM {given}",
    )
