"""Plans of development data, and their rows."""

import uuid
from datetime import date
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest

from seeds.generate import PORTION, SeedPlan, generate
from seeds.identity import MAX_SEED
from seeds.rows import ROW_TYPES, OrganizationRows

DEFAULT = uuid.UUID("00000000-0000-4000-8000-000000000001")
AS_OF = date(2026, 11, 22)
PLANS = [
    SeedPlan(seed, as_of, 3, 300, DEFAULT)
    for seed, as_of in [
        (1, AS_OF),
        (2, date(2026, 1, 1)),
        (3, date(2024, 2, 29)),
        (4, date(2025, 12, 31)),
        (MAX_SEED, date(2027, 4, 1)),
    ]
]
every_plan = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.seed}-{plan.as_of}")


@cache
def organizations(plan: SeedPlan) -> tuple[OrganizationRows, ...]:
    """Return the rows; every second plan's are generated in portions of 40 deals."""
    portion = PORTION if plan.seed % 2 else 40
    with patch("seeds.generate.PORTION", portion):
        return tuple(generate(plan))


def all_rows(plan: SeedPlan, table: str) -> list[Any]:
    return [row for organization in organizations(plan) for row in organization.of(table)]


def everything(plan: SeedPlan) -> list[Any]:
    return [row for table in ROW_TYPES for row in all_rows(plan, table)]
