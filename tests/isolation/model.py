"""A model of what each tenant sees: the six tables as dictionaries for each tenant."""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from uuid import UUID

from piccolo.table import Table

from partman.tables import TABLES, Alert, Opportunity, Organization, Partner, QuarterlyGoal, User

MARKS: dict[type[Table], str] = {
    Organization: "name",
    User: "first_name",
    Partner: "name",
    Opportunity: "customer_name",
    QuarterlyGoal: "status",
    Alert: "title",
}
"""The column of each table that is written and compared."""

_numbers = itertools.count(1)


def new_number() -> int:
    """Return a number that no row of any table has yet."""
    return next(_numbers)


def new_id() -> UUID:
    return UUID(int=(0xB << 124) + new_number())


@dataclass(frozen=True)
class Row:
    """The part of a row that the model knows."""

    mark: str
    partner: UUID | None = None
    user: UUID | None = None


@dataclass
class Tenant:
    """An organization, and the rows that it may see."""

    id: UUID = field(default_factory=new_id)
    rows: dict[type[Table], dict[UUID, Row]] = field(
        default_factory=lambda: {table: {} for table in TABLES}
    )

    def __post_init__(self) -> None:
        self.rows[Organization].setdefault(self.id, Row("new"))

    def draft(self) -> "Tenant":
        """Return a copy, which is discarded if the transaction is rolled back."""
        return copy.deepcopy(self)

    def pick(self, table: type[Table], number: int) -> UUID | None:
        """Return one of the rows, or None."""
        ids = list(self.rows[table])
        return ids[number % len(ids)] if ids else None

    def marks(self, table: type[Table]) -> dict[UUID, str]:
        return {key: row.mark for key, row in self.rows[table].items()}

    def mark(self, table: type[Table], key: UUID, mark: str) -> bool:
        """Change a row if it belongs to the tenant; return whether it does."""
        rows = self.rows[table]
        if key in rows:
            rows[key] = replace(rows[key], mark=mark)
        return key in rows

    def delete(self, table: type[Table], key: UUID) -> bool:
        """Delete a row and its dependents if it belongs to the tenant; return whether it did."""
        found = self.rows[table].pop(key, None) is not None
        deals = self.rows[Opportunity]
        if table is Partner:
            _drop(deals, lambda row: row.partner == key)
        if table is User:
            for of_user in (QuarterlyGoal, Alert):
                _drop(self.rows[of_user], lambda row: row.user == key)
            for deal, row in deals.items():
                if row.user == key:
                    deals[deal] = replace(row, user=None)
        return found


def _drop(rows: dict[UUID, Row], condition: Any) -> None:
    for key in [key for key, row in rows.items() if condition(row)]:
        del rows[key]


def columns(tenant: UUID, table: type[Table], key: UUID, row: Row) -> dict[str, Any]:
    """Return the row's column values."""
    number = new_number()
    required: dict[type[Table], dict[str, Any]] = {
        User: {
            "email": f"{number}@example.com", "password_hash": "!", "last_name": "L",
            "role": "viewer",
        },
        Partner: {"domain": "example.com", "commission_structure": "{}"},
        Opportunity: {
            "partner": row.partner, "assigned_user": row.user, "deal_value": 1, "stage": "proposal",
            "expected_close_date": date(2026, 1, 1),
        },
        QuarterlyGoal: {
            "user": row.user, "quarter": 1, "year": number, "goal_type": "revenue",
            "target_value": 1,
        },
        Alert: {"user": row.user, "alert_type": "a", "entity_type": "partner", "message": "m"},
    }  # fmt: skip
    return {"id": key, "organization": tenant, MARKS[table]: row.mark, **required[table]}


def everything(tenants: list[Tenant]) -> Iterator[tuple[str, UUID, UUID, str]]:
    """Yield all rows, with table and tenant, to compare them with the database."""
    for tenant in tenants:
        for table in TABLES:
            for key, mark in tenant.marks(table).items():
                yield table._meta.tablename, tenant.id, key, mark
