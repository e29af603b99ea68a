"""Constraints and indexes, as parts of the model."""

from dataclasses import dataclass, field

from partman.catalog.identity import Object, Part, Reference


@dataclass(frozen=True, kw_only=True)
class Constraint(Part):
    """A primary, unique or foreign key, a check or an exclusion, of a table or a domain.

    The definition is compared; the fields that are not compared tell its parts.
    """

    definition: str
    """Without NOT VALID."""
    valid: bool
    """Whether it is validated."""
    enforced: bool
    """Whether the triggers that enforce a foreign key are enabled."""
    type: str = field(compare=False)
    """PRIMARY KEY, UNIQUE, FOREIGN KEY, CHECK, EXCLUDE."""
    columns: tuple[str, ...] = field(compare=False)
    """Of a check, the columns that it reads; of an exclusion, also expressions."""
    included: tuple[str, ...] = field(compare=False)
    nulls_distinct: bool = field(compare=False)
    options: tuple[str, ...] = field(compare=False)
    """The storage parameters of its index."""
    period: bool = field(compare=False)
    """Whether the last column is WITHOUT OVERLAPS, or PERIOD in a foreign key."""
    operators: tuple[str, ...] = field(compare=False)
    """The operators of an exclusion."""
    expression: str | None = field(compare=False)
    """The condition of a check; the predicate of an exclusion."""
    referenced_table: str | None = field(compare=False)
    referenced_columns: tuple[str, ...] = field(compare=False)
    on_update: str | None = field(compare=False)
    """None: NO ACTION."""
    on_delete: str | None = field(compare=False)
    on_delete_columns: tuple[str, ...] = field(compare=False)
    """The columns that SET NULL or SET DEFAULT sets; empty for all."""
    match_full: bool = field(compare=False)
    deferrable: bool = field(compare=False)
    initially_deferred: bool = field(compare=False)
    no_inherit: bool = field(compare=False)
    not_enforced: bool = field(compare=False)
    """NOT ENFORCED, since PostgreSQL 18."""
    local: bool = field(compare=False)
    """Whether the table itself declares it; both this and ``inherited`` can be true."""
    inherited: bool = field(compare=False)
    index: str | None = field(default=None, compare=False)
    """The index of a key or of an exclusion."""
    index_comment: str | None = None
    declared: bool = False
    """Whether the table itself declares a check that it inherits, too."""
    attached_to: str | None = field(default=None, compare=False)
    """The partitioned table whose key this partition's key is part of."""
    attached_name: str | None = field(default=None, compare=False)
    """The name of that key."""

    @property
    def above(self) -> Reference | None:
        """The partitioned table's key that this partition's key is part of."""
        if self.attached_to is None or not self.is_key:
            return None
        return Reference("constraint", f"{self.attached_name} on {self.attached_to}")

    @property
    def is_key(self) -> bool:
        """Whether it is a primary or unique key."""
        return self.type in ("PRIMARY KEY", "UNIQUE")

    @property
    def referenced(self) -> Reference | None:
        """The table that a foreign key refers to; None for other constraints."""
        return Reference("table", self.referenced_table) if self.referenced_table else None


@dataclass(frozen=True, kw_only=True)
class IndexKey:
    """A column or an expression of an index; None where it has the default."""

    text: str
    """The column or the expression, as in CREATE INDEX."""
    column: str | None
    """None: an expression."""
    collation: str | None
    """Of an expression: None if it is its type's collation."""
    operator_class: str | None
    """With its parameters."""
    direction: str | None
    """DESC, NULLS FIRST or NULLS LAST."""


@dataclass(frozen=True, kw_only=True)
class Index(Object):
    """An index that does not belong to a constraint.

    The definition is compared; the fields that are not compared tell its parts.
    """

    parent: Reference
    definition: str
    valid: bool
    """False for the remains of a failed CREATE INDEX CONCURRENTLY."""
    method: str = field(compare=False)
    unique: bool = field(compare=False)
    nulls_distinct: bool = field(compare=False)
    keys: tuple[IndexKey, ...] = field(compare=False)
    included: tuple[str, ...] = field(compare=False)
    options: tuple[str, ...] = field(compare=False)
    predicate: str | None = field(compare=False)
    statistics: tuple[tuple[int, int], ...] = ()
    """The statistics targets of expressions, by their place in the index."""
    depends_on: tuple[str, ...] = ()
    """The extensions that it is dropped with."""
    attached_to: str | None = field(default=None, compare=False)
    """The partitioned table's index that this partition's index is part of."""

    @property
    def above(self) -> Reference | None:
        """The partitioned table's index that this partition's index is part of."""
        return Reference("index", self.attached_to) if self.attached_to else None
