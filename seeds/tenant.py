"""The organization for which rows are generated."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from uuid import UUID

from seeds import names
from seeds.calendar import YearQuarter
from seeds.identity import seeded_id, seeded_ids


@dataclass(frozen=True)
class Tenant:
    """Values that the rows of one organization have in common."""

    seed: int
    number: int
    """The index among the seeded organizations, from 0."""
    organization_id: UUID
    name: str
    currency: str
    """The home currency, of its goals and of most of its deals."""
    as_of: date
    """Reference date for the generated data: all events happened before it."""

    @cached_property
    def subdomain(self) -> str:
        """The name as a DNS label."""
        return names.subdomain(self.name)

    @cached_property
    def quarter(self) -> YearQuarter:
        """The current quarter."""
        return YearQuarter.of(self.as_of)

    def row_id(self, table: str, row: int) -> UUID:
        """Return the ID of the organization's n-th row in a table."""
        return seeded_id(table, self.seed, self.number, row)

    def row_ids(self, table: str, rows: range) -> Iterator[UUID]:
        """Yield the IDs of the organization's rows with those numbers in a table."""
        return seeded_ids(table, self.seed, self.number, rows)
