"""A row that is made inside of tenant() is that tenant's, however it is made."""

from typing import Any

import asyncpg
import pytest
from piccolo.utils.pydantic import create_pydantic_model

from partman.bulk import bulk_insert
from partman.engine import PartmanEngine
from partman.tables import Partner
from partman.tenant import tenant
from tests.tenants import Tenants

GIVEN: dict[str, Any] = {"domain": "example.com", "commission_structure": {}}
Form: Any = create_pydantic_model(Partner, exclude_columns=(Partner.organization,))


async def test_however_it_is_made(tenants: Tenants, engine: PartmanEngine) -> None:
    by_column = {Partner.name: "columns", Partner.domain: "a", Partner.commission_structure: {}}
    async with tenant(tenants.first):
        await Partner(name="names", **GIVEN).save()
        await Partner(by_column).save()
        await Partner.from_dict({"name": "dictionary", **GIVEN}).save()
        await Partner.insert(*(Partner(name=f"insert {n}", **GIVEN) for n in range(2)))
        await Partner.objects().create(name="create", **GIVEN)
        missing = Partner.name == "get or create"
        await Partner.objects().get_or_create(
            missing, {Partner.commission_structure: {}, Partner.domain: "a"}
        )
        await Partner(
            **Form(name="form", domain="a", commission_structure="{}").model_dump(
                exclude_unset=True
            )
        ).save()
        await bulk_insert(Partner, [{"name": "bulk", **GIVEN}])
        made = [await Partner.objects().get(Partner.name == "names"), Partner(name="", **GIVEN)]
        rows = await Partner.select(Partner.organization).output(as_list=True)
    assert [each.organization for each in made if each] == [tenants.first] * 2
    assert len(rows) == 10
    assert set(rows) == {tenants.first}


async def test_another_tenant_is_neither_guessed_nor_replaced(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async with tenant(tenants.first):
        mine = Partner(name="mine", **GIVEN)
        given = [
            Partner(name="x", organization=tenants.second, **GIVEN),
            Partner(name="x", organization_id=tenants.second, **GIVEN),
            Partner({Partner.organization: tenants.second}, name="x", **GIVEN),
        ]
        assert {each.organization for each in given} == {tenants.second}
        nobody = [
            Partner(_ignore_missing=True),
            Partner(name="x", organization=None, **GIVEN),
            Partner(name="x", organization_id=None, **GIVEN),
        ]
        assert {each.organization for each in nobody} == {None}
    with pytest.raises(ValueError, match="organization wasn't provided"):
        Partner(name="x", **GIVEN)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with tenant(tenants.second):
            await Partner.insert(mine)
