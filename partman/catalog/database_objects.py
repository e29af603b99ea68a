"""Objects of the database as a whole, as parts of the model."""

from dataclasses import dataclass

from partman.catalog.identity import Object, Part, Reference


@dataclass(frozen=True, kw_only=True)
class Publication(Object):
    """A publication. What it publishes are objects of their own."""

    owner: str
    all_tables: bool
    operations: str
    """As in CREATE PUBLICATION: ``insert, update, delete, truncate``."""
    via_root: bool
    """Whether a partition's changes are published as those of the partitioned table."""
    generated_columns: str
    """none, or stored, since PostgreSQL 18."""


@dataclass(frozen=True, kw_only=True)
class PublishedTable(Part):
    """A table in a publication, by its name."""

    columns: tuple[str, ...]
    """Empty: all columns."""
    predicate: str | None

    @property
    def table(self) -> Reference:
        """The table."""
        return Reference("table", self.name)


@dataclass(frozen=True, kw_only=True)
class PublishedSchema(Part):
    """A schema in a publication, by its name."""


@dataclass(frozen=True, kw_only=True)
class Setting(Object):
    """A setting that sessions in the database start with: all of them, or those of one role."""

    parameter: str
    role: str | None
    value: str

    @property
    def reference(self) -> Reference:
        """The identity, with the role."""
        return Reference(self.kind, f"{self.name} of {self.role}" if self.role else self.name)
