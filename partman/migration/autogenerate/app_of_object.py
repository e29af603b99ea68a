"""Find the app whose migrations make a change, in a project with several apps.

An app declares an object if the object appears or changes when the app's tables and extras are
built. An app has built an object if it appeared or changed when the app's migrations were run. Both
are measured in PostgreSQL, app by app, in the order in which Piccolo migrates them. Of the two
apps, the change goes to the later one: its migrations run after the other's, also in an empty
database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from partman.catalog import model
from partman.catalog.ddl import order
from partman.catalog.ddl.change import Change
from partman.catalog.model import Catalog, Dependency, Object, Reference
from partman.migration.verification.app_by_app import Stage


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
        """Compute the apps from the catalogs after each app."""
        return cls(tuple(apps), _last_change(declared), _last_change(built))

    def __call__(self, obj: Object, *catalogs: Catalog) -> str:
        """Return the object's app; if no app has created it directly, its parent's app.

        The parent is looked up in the catalogs. An object without a parent belongs to the last app,
        which Piccolo migrates after all others.
        """
        found = [
            owner
            for owners in (self.declared, self.built)
            if (owner := owners.get(obj.reference)) is not None
        ]
        if found:
            return self.latest(found)
        for catalog in catalogs:
            if (parent := catalog.by_reference.get(obj.parent)) is not None:
                return self(parent, *catalogs)
        return self.apps[-1]

    def latest(self, apps: Iterable[str]) -> str:
        """Return the app that Piccolo migrates last."""
        return max(apps, key=self.apps.index)

    def limited(self, expected: Catalog, found: Catalog, apps: Iterable[str]) -> Catalog:
        """Return ``found``, with the objects of these apps as they are in ``expected``."""
        theirs = set(apps)
        objects: list[Object] = []
        dependencies: list[Dependency] = []
        for catalog, is_theirs in ((expected, True), (found, False)):
            kept = [
                obj
                for obj in catalog.objects
                if (self(obj, expected, found) in theirs) is is_theirs
            ]
            objects += kept
            for obj in kept:
                dependencies += catalog.needs.get(obj.reference, ())
        return Catalog(tuple(sorted(objects, key=model.sort_key)), dependencies=tuple(dependencies))

    def divide(
        self, changes: Iterable[Change], expected: Catalog, found: Catalog
    ) -> dict[str, list[Change]]:
        """Return each app's changes, in the same order.

        A drop goes to the last app that needs the object, if the dependent object is dropped too.
        """
        divided: dict[str, list[Change]] = {app: [] for app in self.apps}
        dropped: list[tuple[Object, str]] = []
        for change in changes:
            obj = _object(change, expected, found)
            app = self(obj, expected, found)
            if change.is_early:
                app = self.latest(
                    [app, *(its for other, its in dropped if _needs(other, obj, found))]
                )
                dropped.append((obj, app))
            divided[app].append(change)
        return divided


def _object(change: Change, expected: Catalog, found: Catalog) -> Object:
    known = (
        change.created
        or change.dropped
        or expected.by_reference.get(change.reference)
        or found.by_reference.get(change.reference)
    )
    assert known is not None
    return known


def _needs(obj: Object, other: Object, catalog: Catalog) -> bool:
    """Whether an object may prevent the other one from being dropped."""
    return obj.parent == other.reference or order.depends(obj, {other.reference}, catalog)


def _last_change(stages: Iterable[Stage]) -> dict[Reference, str]:
    """Return the app in whose stage each object was last created, changed or dropped."""
    owners: dict[Reference, str] = {}
    before = Catalog(())
    for app, after in stages:
        for reference in {obj.reference for obj in (*before.objects, *after.objects)}:
            if before.by_reference.get(reference) != after.by_reference.get(reference):
                owners[reference] = app
        before = after
    return owners
