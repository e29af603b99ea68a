"""Partitions and inheritance, as parts of the model."""

from dataclasses import dataclass, field

from partman.catalog.identity import Object, Reference


@dataclass(frozen=True, kw_only=True)
class Attachment(Object):
    """That a table is a partition of another one, or inherits from it. Its parent is the table."""

    parent: Reference
    of: str
    """The name of the partitioned table, or of the one that it inherits from."""
    bound: str | None
    """The rows that the partition takes; None for inheritance."""
    position: int = field(compare=False)
    """The place among the tables that it inherits from."""
    foreign_keys: tuple[str, ...] = field(compare=False)
    """The copies of foreign keys that it has as a partition, and keeps when it is detached."""

    @property
    def reference(self) -> Reference:
        """The identity, with both tables."""
        return Reference(self.kind, f"{self.name} of {self.of}")

    @property
    def is_partition(self) -> bool:
        """Whether it is a partition."""
        return self.bound is not None
