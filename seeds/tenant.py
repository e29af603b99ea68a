"""The organization that rows are being made for."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from seeds import names
from seeds.calendar import YearQuarter
from seeds.identity import seeded_id


@dataclass(frozen=True)
class Tenant:
    """What the rows of one organization have in common."""

    seed: int
    number: int
    """Its place among the seeded organizations, from 0."""
    organization_id: UUID
    name: str
    currency: str
    """Its home currency: what its goals are set in, and most of its deals."""
    as_of: date
    """The day the data is told from: whatever happened, happened before it."""

    @property
    def subdomain(self) -> str:
        """Its name as a DNS label."""
        return names.subdomain(self.name)

    @property
    def quarter(self) -> YearQuarter:
        """The quarter that is running."""
        return YearQuarter.of(self.as_of)

    def row_id(self, table: str, row: int) -> UUID:
        """Return the id of its n-th row in a table."""
        return seeded_id(table, self.seed, self.number, row)
