"""References between tenant tables: a ForeignKey in Piccolo, a composite key in SQL."""

from typing import Any

from piccolo.columns import ForeignKey, OnDelete, OnUpdate
from piccolo.constraints import Constraint

from partman.grammar.names import quoted
from partman.isolation.tenancy import Tenancy

_CLEARS = ("SET NULL", "SET DEFAULT")


class TenantReference(ForeignKey[Any]):
    """A reference to another tenant table; a ForeignKey in Python.

    In the database it is a plain column: the constraint, which includes the tenant, is a
    TenantForeignKey that TenantTable adds. ``on_update`` is NO ACTION, because neither part of the
    key ever changes.
    """

    def __init__(
        self,
        references: Any,
        default: Any = None,
        null: bool = True,
        on_delete: OnDelete = OnDelete.cascade,
        on_update: OnUpdate = OnUpdate.no_action,
        **options: Any,
    ) -> None:
        super().__init__(references, default, null, on_delete, on_update, **options)

    @property
    def ddl(self) -> str:
        """The column in CREATE TABLE."""
        null = "" if self._meta.null else " NOT NULL"
        return f'"{self._meta.db_column_name}" {self.column_type}{null}'


class TenantForeignKey(Constraint):
    """A reference to a row of the same tenant, and of no other.

    PostgreSQL checks a foreign key as the owner of the tables, to whom no policy applies. So the
    key includes the tenant: ``(organization_id, partner_id)``.
    """

    def __init__(
        self,
        column: str,
        references: str,
        on_delete: str = "NO ACTION",
        name: str | None = None,
        tenant: str = Tenancy.column,
        key: str = "id",
    ) -> None:
        """Store the names of columns and of a table as in the database, without quotes.

        ``on_delete`` is the action as SQL; SET NULL and SET DEFAULT leave the tenant unchanged.
        ``tenant`` is the column of both tables, ``key`` the primary key of the table it
        ``references``.
        """
        self.column = column
        self.references = references
        self.on_delete = on_delete
        self.tenant = tenant
        self.key = key
        super().__init__(
            name=name,
            column=column,
            references=references,
            on_delete=on_delete,
            tenant=tenant,
            key=key,
        )

    @property
    def ddl(self) -> str:
        """The constraint in ALTER TABLE."""
        tenant, column = quoted(self.tenant), quoted(self.column)
        spared = f" ({column})" if self.on_delete in _CLEARS else ""
        table = ".".join(quoted(name) for name in self.references.split("."))
        return (
            f"FOREIGN KEY ({tenant}, {column}) REFERENCES {table} ({tenant}, {quoted(self.key)})"
            f" ON DELETE {self.on_delete}{spared}"
        )

    def serialise_self(self) -> None:
        """Do nothing: all parameters are already strings."""

    def _table_str(self) -> str:
        return (
            f"{self._meta.name} = TenantForeignKey("
            f"{self.column!r}, {self.references!r}, on_delete={self.on_delete!r}, "
            f"tenant={self.tenant!r}, key={self.key!r})"
        )
