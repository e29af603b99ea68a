"""Which app's migrations a change belongs to, when a project has several apps.

An app declares an object if it appears, or changes, when the app's tables and extras are built. An
app has built it if it appeared, or changed, when the app's migrations were run. PostgreSQL is
asked for both, app by app in the order in which Piccolo migrates them. Of the two apps it is the
later one: its migrations run when the other's have run, also in an empty database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from partman.catalog import model
from partman.catalog.ddl import order
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import refers_to
from partman.catalog.model import Catalog, Constraint, Object, Reference
from partman.migration.verification.rebuild import Stage


@dataclass(frozen=True)
class AppOfObject:
    """The app of each object."""

    apps: tuple[str, ...]
    """In the order in which Piccolo migrates them."""
    declared: Mapping[Reference, str]
    built: Mapping[Reference, str]

    @classmethod
    def of(
        cls, apps: Iterable[str], declared: Iterable[Stage], built: Iterable[Stage]
    ) -> "AppOfObject":
        """Tell it from what there was after each app."""
        return cls(tuple(apps), _last_change(declared), _last_change(built))

    def __call__(self, one: Object, *catalogs: Catalog) -> str:
        """Return the app; of an object that no app has made by itself, its parent's.

        The parent is looked for in the catalogs. What has no parent belongs to the last app, which
        runs when all others have.
        """
        found = [
            owner
            for owners in (self.declared, self.built)
            if (owner := owners.get(one.reference)) is not None
        ]
        if found:
            return self.latest(found)
        for catalog in catalogs:
            if (parent := catalog.by_reference.get(one.parent)) is not None:
                return self(parent, *catalogs)
        return self.apps[-1]

    def latest(self, apps: Iterable[str]) -> str:
        """Return the app that Piccolo migrates after the others."""
        return max(apps, key=self.apps.index)

    def limited(self, expected: Catalog, found: Catalog, apps: Iterable[str]) -> Catalog:
        """Return ``found`` with what these apps would make of it on the way to ``expected``."""
        theirs = set(apps)
        objects = [
            one
            for catalog, is_theirs in ((expected, True), (found, False))
            for one in catalog.objects
            if (self(one, expected, found) in theirs) is is_theirs
        ]
        return Catalog(tuple(sorted(objects, key=model.sort_key)))

    def divide(
        self, changes: Iterable[Change], expected: Catalog, found: Catalog
    ) -> dict[str, list[Change]]:
        """Return each app's changes, in the same order.

        What is dropped goes with the last one that needs it, as far as that is dropped, too.
        """
        divided: dict[str, list[Change]] = {app: [] for app in self.apps}
        dropped: list[tuple[Object, str]] = []
        for change in changes:
            one = _object(change, expected, found)
            app = self(one, expected, found)
            if change.is_early:
                app = self.latest(
                    [app, *(its for other, its in dropped if _needs(other, one, found))]
                )
                dropped.append((one, app))
            divided[app].append(change)
        return divided


def _object(change: Change, expected: Catalog, found: Catalog) -> Object:
    known = (
        change.made
        or change.dropped
        or expected.by_reference.get(change.reference)
        or found.by_reference.get(change.reference)
    )
    assert known is not None
    return known


def _needs(one: Object, other: Object, catalog: Catalog) -> bool:
    """Whether an object may be in the way when the other one is dropped."""
    if one.parent == other.reference:
        return True
    if isinstance(other, Constraint):
        return isinstance(one, Constraint) and refers_to(one, other)
    return order.mentions_object(order.definition_text(one, catalog), other, one)


def _last_change(stages: Iterable[Stage]) -> dict[Reference, str]:
    """Return the app in whose stage each object appeared, changed or went for the last time."""
    owners: dict[Reference, str] = {}
    before = Catalog(())
    for app, after in stages:
        for reference in {one.reference for one in (*before.objects, *after.objects)}:
            if before.by_reference.get(reference) != after.by_reference.get(reference):
                owners[reference] = app
        before = after
    return owners
