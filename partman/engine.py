"""The Piccolo engine of a project."""

from collections.abc import Mapping, Sequence
from typing import Any

from partman.isolation import Tenancy
from partman.migration.runner.engine import MigrationEngine
from partman.piccolo_cli import report_interrupts
from partman.settings import Settings
from partman.tenant.engine import TenantEngine


class PartmanEngine(TenantEngine, MigrationEngine):
    """A PostgresEngine that makes migration runs safe and keeps tenants apart.

    What a migration command asks for goes to its MigrationRun, and what is asked in a ``tenant()``
    block goes over the tenant's connection. Everything else is Piccolo's own behaviour.

    It takes what Piccolo's engine takes, except ``extra_nodes``: a run and a tenant's block are on
    one server. ``DATABASE_URL`` wins over the address in ``config``; where neither says it, the
    embedded server is used. Further ``settings``, which replace those of the environment and of
    ``config``, and the project's ``tenancy``.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        extensions: Sequence[str] = (),
        log_queries: bool = False,
        log_responses: bool = False,
        settings: Settings | None = None,
        tenancy: Tenancy | None = None,
    ) -> None:
        report_interrupts()
        super().__init__(config, extensions, log_queries, log_responses, settings, tenancy)
