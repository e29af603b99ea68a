"""What every object of a catalog has: a kind, a name, a parent, a comment."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

OWNER = "<owner>"
"""Stands for the role that runs the migrations, whatever its name on this server."""

ITS_OWNER = "<its owner>"
"""Stands for the object's owner as a grantee, so that a change of owner changes no grants."""

PUBLIC = "PUBLIC"


class Reference(NamedTuple):
    """Identifies an object: kind and name are unique in a database."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


class Dependency(NamedTuple):
    """That an object cannot exist without another one, according to PostgreSQL."""

    object: Reference
    on: Reference
    by_default: bool = False
    """Whether it is the default of the column, which can be set later than the column is made."""


def grouped(
    pairs: Iterable[tuple[Reference, Dependency]],
) -> Mapping[Reference, tuple[Dependency, ...]]:
    """Return the dependencies of each reference."""
    found: dict[Reference, list[Dependency]] = defaultdict(list)
    for reference, dependency in pairs:
        found[reference].append(dependency)
    return {reference: tuple(listed) for reference, listed in found.items()}


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object of the schema."""

    kind: str
    """The kind in COMMENT ON, in lower case: ``table``."""
    name: str
    parent: Reference | None = None
    """The object that contains it: the table of a column, the schema of a table."""
    comment: str | None = None

    @property
    def reference(self) -> Reference:
        """The object's identity."""
        return Reference(self.kind, self.name)


@dataclass(frozen=True, kw_only=True)
class Part(Object):
    """An object whose name is unique only in its parent: a policy, a trigger, a constraint."""

    parent: Reference

    @property
    def reference(self) -> Reference:
        """The identity, with the parent's name."""
        return Reference(self.kind, f"{self.name} on {self.parent.name}")
