"""The Piccolo engine of a project."""

from partman.migration.runner.engine import MigrationEngine
from partman.piccolo_cli import expect_an_end_from_outside
from partman.settings import Settings
from partman.tenant.engine import TenantEngine


class PartmanEngine(TenantEngine, MigrationEngine):
    """A PostgresEngine that makes migration runs safe and keeps tenants apart.

    What a migration command asks for goes to its MigrationRun, and what is asked in a ``tenant()``
    block goes over the tenant's connection. Everything else is Piccolo's own behaviour.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        expect_an_end_from_outside()
        super().__init__(settings)
