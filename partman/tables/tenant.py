"""The base class of this project's tenant tables.

A table is isolated by being declared as one::

    class Task(TenantTable, Table, tablename="tasks"):
        title = Varchar(length=255, default=None, null=False)
        partner = TenantReference(Partner, null=False, db_column_name="partner_id")

        extras = ("CREATE INDEX idx_tasks_partner ON tasks (organization_id, partner_id)",)
"""

from piccolo.columns import UUID, ForeignKey

from partman import isolation
from partman.tables.functions import keeps_updated_at
from partman.tables.organization import Organization
from partman.tables.tenancy import TENANCY


class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Organization):
    """Must precede Piccolo's ``Table`` in the bases."""

    id = UUID(primary_key=True)
    organization: ForeignKey[Organization]

    @classmethod
    def shared_extras(cls) -> tuple[str, ...]:
        """Return the trigger for ``updated_at``."""
        columns = [column._meta.db_column_name for column in cls._meta.columns]
        return keeps_updated_at(cls._meta.tablename, columns)
