"""Which differences and changes concern what keeps tenants apart: they come first."""

from collections.abc import Iterable
from dataclasses import dataclass

from partman.catalog.compare import Difference
from partman.catalog.ddl.change import Change
from partman.catalog.model import PUBLIC, Catalog, Grant, Object, Policy, Table
from partman.database.engine import project_engine
from partman.migration.runner.engine import MigrationEngine

_ROW_SECURITY = ("row_security", "force_row_security")


@dataclass(frozen=True)
class Isolation:
    """Row security, policies, and the rights of the tenancy's roles."""

    roles: frozenset[str]

    @classmethod
    def of_project(cls) -> "Isolation":
        """Return that of the project in the current folder."""
        tenancy = project_engine(MigrationEngine).tenancy
        return cls(frozenset((PUBLIC, *(tenancy.roles.all if tenancy else ()))))

    def first(self, differences: Iterable[Difference]) -> tuple[Difference, ...]:
        """Return the differences, those about isolation first."""
        return tuple(sorted(differences, key=lambda each: not self.concerns(each)))

    def concerns(self, difference: Difference) -> bool:
        """Whether a difference may let a tenant reach another's rows, or keep it from its own."""
        return difference.attribute in _ROW_SECURITY or self._is_of_isolation(difference.object)

    def changes(self, change: Change, expected: Catalog, found: Catalog) -> bool:
        """Whether a change is about isolation, and nothing else."""
        obj, before = (catalog.by_reference.get(change.reference) for catalog in (expected, found))
        if isinstance(obj, Table) and isinstance(before, Table):
            return any(getattr(obj, name) != getattr(before, name) for name in _ROW_SECURITY)
        known = obj or before
        return known is not None and self._is_of_isolation(known)

    def _is_of_isolation(self, obj: Object) -> bool:
        return isinstance(obj, Policy) or (isinstance(obj, Grant) and obj.name in self.roles)
