"""The changes that make up a remedy."""

from dataclasses import dataclass

from partman.catalog.compare import Difference
from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.text import SqlStyle
from partman.catalog.model import Object, Reference


@dataclass(frozen=True)
class Change:
    """Statements that change one object, and those that revert them."""

    reference: Reference
    forwards: Statements
    backwards: Statements
    created: Object | None = None
    """The object that the change creates, if any."""
    dropped: Object | None = None
    """The object that the change drops, if any."""
    is_early: bool = False
    """Whether it runs before all changes that create objects."""


@dataclass(frozen=True)
class Remedy:
    """All changes in an order in which they can run; they are reverted in reverse order."""

    changes: tuple[Change, ...]
    unwritten: tuple[Difference, ...]
    """Differences for which no statement is known, in one of the directions."""
    style: SqlStyle
    """The SQL style of the statements, for other forms of them."""
    one_way: frozenset[Reference]
    """Objects whose differences are unwritten because nothing takes the statements back."""

    @property
    def unwritten_forwards(self) -> tuple[Difference, ...]:
        """Differences for which no statement forwards is known."""
        return tuple(each for each in self.unwritten if each.reference not in self.one_way)
