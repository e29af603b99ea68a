"""Partners: read, add, change, remove, import."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field

from docs.example.security import current_user, may_write
from partman.bulk import bulk_insert
from partman.errors import RowRefusedError
from partman.tables import Partner
from partman.tables.partner import CommissionType, PartnerStatus
from partman.tenant import current_tenant

router = APIRouter(prefix="/partners", dependencies=[Depends(current_user)])
writes = [Depends(may_write)]
MOST_IMPORTED = 20_000

_SHOWN = (
    *(Partner.id, Partner.name, Partner.domain, Partner.website),
    *(Partner.relationship_health, Partner.status),
)


class Commission(BaseModel):
    """How a partner is paid."""

    type: CommissionType
    percent: float = Field(default=0, ge=0, le=100)


class NewPartner(BaseModel):
    """A partner to add."""

    name: str = Field(min_length=1, max_length=255)
    domain: str = Field(min_length=1, max_length=100)
    website: str | None = Field(None, max_length=500)
    commission_structure: Commission = Commission(type=CommissionType.REFERRAL)


class Change(BaseModel):
    """The columns of a partner to change."""

    name: str | None = Field(None, min_length=1, max_length=255)
    website: str | None = Field(None, max_length=500)
    relationship_health: int | None = Field(None, ge=0, le=100)
    status: PartnerStatus | None = None


@router.get("")
async def listed(
    after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[dict[str, Any]]:
    """Return a page of partners; ``after`` is the ID of the last one of the page before."""
    query = Partner.select(*_SHOWN).order_by(Partner.id).limit(limit)
    return await (query.where(Partner.id > after) if after else query)


@router.get("/{partner_id}")
async def one(partner_id: UUID) -> dict[str, Any]:
    """Return a partner."""
    found = await Partner.select(*_SHOWN).where(Partner.id == partner_id).first()
    if found is None:
        raise HTTPException(404, "There is no such partner.")
    return found


@router.post("", status_code=201, dependencies=writes)
async def add(partner: NewPartner) -> dict[str, Any]:
    """Add a partner."""
    row = Partner(organization=current_tenant(), **partner.model_dump(mode="json"))
    await row.save()
    return await one(row.id)


@router.post("/import", status_code=201, dependencies=writes)
async def add_many(
    partners: Annotated[list[NewPartner], Field(max_length=MOST_IMPORTED)],
) -> dict[str, int]:
    """Add all partners, or none."""
    try:
        count = await bulk_insert(Partner, (each.model_dump(mode="json") for each in partners))
    except RowRefusedError as error:
        raise HTTPException(422, str(error)) from error
    return {"imported": count}


@router.patch("/{partner_id}", dependencies=writes)
async def change(partner_id: UUID, values: Change) -> dict[str, Any]:
    """Change the given columns."""
    given: dict[Any, Any] = values.model_dump(mode="json", exclude_unset=True)
    if given:
        await Partner.update(given).where(Partner.id == partner_id)
    return await one(partner_id)


@router.delete("/{partner_id}", status_code=204, dependencies=writes)
async def remove(partner_id: UUID) -> None:
    """Remove a partner, and its opportunities."""
    await one(partner_id)
    await Partner.delete().where(Partner.id == partner_id)
