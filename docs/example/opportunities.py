"""Opportunities: search, in pages, and the quarterly report.

The conditions use operators that are leakproof, so that PostgreSQL can use an index under the
policies: see docs/tenancy.md, "What it costs". The report, which is raw SQL, names the organization
and compares it in the join, so that it would also go to one node of a distributed database.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from piccolo.columns.combination import WhereRaw
from pydantic import BaseModel, Field

from docs.example.security import current_user, may_write
from partman.tables import Opportunity
from partman.tables.opportunity import Stage
from partman.tenant import current_tenant

router = APIRouter(dependencies=[Depends(current_user)])

_SHOWN = (
    *(Opportunity.id, Opportunity.partner, Opportunity.customer_name, Opportunity.deal_value),
    *(Opportunity.currency, Opportunity.stage, Opportunity.expected_close_date),
)
_REPORT = """
SELECT partners.id, partners.name, opportunities.currency,
    count(*) AS deals, sum(deal_value) AS value
FROM opportunities JOIN partners ON partners.id = opportunities.partner_id
    AND partners.organization_id = opportunities.organization_id
WHERE opportunities.organization_id = {}
    AND stage = {} AND actual_close_date >= {} AND actual_close_date < {}
GROUP BY partners.id, partners.name, opportunities.currency
ORDER BY partners.name, partners.id, opportunities.currency
"""


class NewOpportunity(BaseModel):
    """An opportunity to add."""

    partner_id: UUID
    customer_name: str = Field(min_length=1, max_length=255)
    deal_value: Decimal = Field(ge=0, max_digits=15, decimal_places=2)
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    stage: Stage = Stage.PROSPECTING
    expected_close_date: date


@router.get("/opportunities")
async def search(
    stage: Stage | None = None,
    customer: Annotated[str, Query(max_length=255)] = "",
    after: Annotated[str, Query(pattern=r"^$|^\d{4}-\d\d-\d\d_[0-9a-f-]{36}$")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Return a page of opportunities, those that are to close first at the top.

    ``customer`` is the beginning of a name. ``after`` is the ``next`` of the page before: a page
    begins where that one ended, however many rows were added since.
    """
    query = Opportunity.select(*_SHOWN).order_by(Opportunity.expected_close_date, Opportunity.id)
    if stage:
        query = query.where(Opportunity.stage == stage)
    if customer:
        query = query.where(WhereRaw("customer_name ^@ {}", customer))
    if after:
        day, _, last = after.partition("_")
        place = date.fromisoformat(day), UUID(last)
        query = query.where(WhereRaw("(expected_close_date, id) > ({}, {})", *place))
    rows = await query.limit(limit)
    end = f"{rows[-1]['expected_close_date']}_{rows[-1]['id']}" if len(rows) == limit else None
    return {"opportunities": rows, "next": end}


@router.post("/opportunities", status_code=201, dependencies=[Depends(may_write)])
async def add(given: NewOpportunity) -> dict[str, Any]:
    """Add an opportunity of one of the organization's partners."""
    row = Opportunity(organization=current_tenant(), **given.model_dump())
    await row.save()
    return {"id": row.id}


@router.get("/reports/{year}/{quarter}")
async def report(
    year: Annotated[int, Path(ge=1, le=9998)], quarter: Annotated[int, Path(ge=1, le=4)]
) -> list[dict[str, Any]]:
    """Return what each partner has won in a quarter."""
    begin = date(year, 3 * quarter - 2, 1)
    end = date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
    rows: list[dict[str, Any]] = await Opportunity.raw(
        _REPORT, current_tenant(), Stage.CLOSED_WON, begin, end
    )
    return rows
