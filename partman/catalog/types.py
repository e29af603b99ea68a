"""Types, as parts of the model."""

from dataclasses import dataclass, field

from partman.catalog.identity import Object


@dataclass(frozen=True, kw_only=True)
class Enum(Object):
    """An enumerated type."""

    owner: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Domain(Object):
    """A domain. It is the parent of its check constraints."""

    owner: str
    type: str
    not_null: bool
    default: str | None
    collation: str | None
    null_name: str | None = None
    """The name of NOT NULL, which has one since PostgreSQL 17; None for the usual one."""
    null_constraint: str | None = field(default=None, compare=False)
    null_comment: str | None = None
    """The comment on NOT NULL."""


@dataclass(frozen=True, kw_only=True)
class Composite(Object):
    """A composite type."""

    owner: str
    attributes: tuple[str, ...]
    names: tuple[str, ...] = field(compare=False)
    """The names of the attributes."""
    comments: tuple[tuple[str, str], ...] = ()
    """Comments on attributes, by their name."""


@dataclass(frozen=True, kw_only=True)
class Range(Object):
    """A range type."""

    owner: str
    subtype: str
    operator_class: str | None
    """None if it is the subtype's."""
    collation: str | None
    canonical: str | None
    """A function, as is ``difference``."""
    difference: str | None
    multirange: str | None
    """The name of its multirange type; None for the usual one."""
