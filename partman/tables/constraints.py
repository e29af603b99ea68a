"""Constraints that Piccolo has no class for."""

from piccolo.constraints import Constraint


class TenantForeignKey(Constraint):
    """A reference to a row of the same organization, and of no other.

    A foreign key is checked as the owner of the tables, whom no policy stops. So the
    organization is a part of it: ``(organization_id, partner_id)``.
    """

    def __init__(
        self, column: str, references: str, on_delete: str = "NO ACTION", name: str | None = None
    ) -> None:
        """``column`` and the table it ``references`` are names in the database.

        ``on_delete`` is the action as SQL; SET NULL spares the organization.
        """
        self.column = column
        self.references = references
        self.on_delete = on_delete
        super().__init__(name=name, column=column, references=references, on_delete=on_delete)

    @property
    def ddl(self) -> str:
        """The constraint as ALTER TABLE says it."""
        spared = f" ({self.column})" if self.on_delete == "SET NULL" else ""
        return (
            f"FOREIGN KEY (organization_id, {self.column})"
            f" REFERENCES {self.references} (organization_id, id)"
            f" ON DELETE {self.on_delete}{spared}"
        )

    def serialise_self(self) -> None:
        """Do nothing: all parameters are strings already."""

    def _table_str(self) -> str:
        return (
            f"{self._meta.name} = TenantForeignKey("
            f"{self.column!r}, {self.references!r}, on_delete={self.on_delete!r})"
        )
