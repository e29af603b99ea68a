"""What a plan consists of."""

from dataclasses import dataclass

from partman.catalog.compare import Difference
from partman.catalog.ddl.objects import Statements
from partman.catalog.ddl.text import Wording
from partman.catalog.model import Object, Reference


@dataclass(frozen=True)
class Change:
    """One thing to do, and how to undo it."""

    reference: Reference
    forwards: Statements
    backwards: Statements
    made: Object | None = None
    """What is there afterwards, and was not before."""
    dropped: Object | None = None
    """What was there before, and is not afterwards."""
    is_early: bool = False
    """Whether it is dropped before anything is made."""


@dataclass(frozen=True)
class Remedy:
    """All of it, in the order in which it can be done; undone in the opposite order."""

    changes: tuple[Change, ...]
    unwritten: tuple[Difference, ...]
    """What nobody knows the statements for."""
    say: Wording
    """How it was put, for those who put it in other forms."""
