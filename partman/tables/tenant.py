"""What every tenant table has: a row belongs to one organization, and stays with it.

A table is isolated by being declared as one::

    class Task(TenantTable, Table, tablename="tasks"):
        title = Varchar(length=255, default=None, null=False)
        partner = TenantReference(Partner, null=False, db_column_name="partner_id")

        extras = ("CREATE INDEX idx_tasks_partner ON tasks (organization_id, partner_id)",)
"""

from typing import TYPE_CHECKING, Any, ClassVar

from piccolo.columns import UUID, Column, ForeignKey, OnDelete, OnUpdate

from partman.tables.columns import TenantReference
from partman.tables.constraints import TenantForeignKey
from partman.tables.isolation import keeps_updated_at, tenant_grants, tenant_policies
from partman.tables.organization import Organization

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piccolo.query import Insert, Update
    from piccolo.table import Table
else:
    Table = object  # it is mixed in: a Table of its own would be one that organizations know of


_LONGEST = 63
"""Bytes that PostgreSQL keeps of a name."""


class TenantTable(Table):
    """To be named before Piccolo's ``Table``."""

    id = UUID(primary_key=True)
    organization = ForeignKey(
        Organization,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name="organization_id",
    )

    extras: ClassVar[tuple[str, ...]] = ()
    """What Piccolo has no words for, as SQL: policies, rights, triggers, indexes."""

    def __init_subclass__(cls, tablename: str, **options: Any) -> None:
        """Add the composite foreign keys before, and the isolation after Piccolo looks."""
        for name, column in list(vars(cls).items()):
            if isinstance(column, TenantReference):
                key = _composite_key(tablename, name, column)
                setattr(cls, f"{tablename}_organization_id_{key.column}_fkey"[:_LONGEST], key)
        super().__init_subclass__(tablename=tablename, **options)
        cls.extras = (*_isolation(cls), *vars(cls).get("extras", ()))

    def save(
        self, columns: "Sequence[Column | str] | None" = None
    ) -> "Insert[Table] | Update[Table]":
        """Insert, or update; Piccolo's own would update the organization too, which never changes.

        Nobody but the owner has the right to.
        """
        if columns is None and self._exists_in_db:
            columns = [
                column
                for column in self._meta.columns
                if not column._meta.primary_key and column._meta.name != "organization"
            ]
        return super().save(columns)


def _composite_key(table: str, attribute: str, column: TenantReference) -> TenantForeignKey:
    options = column._meta.params
    references = options["references"]
    return TenantForeignKey(
        column=options.get("db_column_name") or attribute,
        references=table if references == "self" else references._meta.tablename,
        on_delete=options["on_delete"].value,
    )


def _isolation(table: "type[Table]") -> tuple[str, ...]:
    name = table._meta.tablename
    columns = [column._meta.db_column_name for column in table._meta.columns]
    return (
        *tenant_policies(name, "organization_id"),
        *tenant_grants(name, columns),
        *keeps_updated_at(name, columns),
    )
