"""The example application does what its README says, with partman.testing's fixtures."""

import time
from datetime import date
from typing import Any

import httpx
import pytest

from docs.example import app as application
from docs.example import security
from partman.tables import Opportunity, Organization, Partner, User
from partman.tables.opportunity import Stage
from partman.tables.user import Role
from partman.testing import Factory, MigratedDatabase
from tests.example.conftest import PASSWORD, SignIn
from tests.plugin.test_fixtures import EnterOwner, EnterTenant

pytestmark = pytest.mark.partman_database("rollback")


async def test_only_the_right_password_of_an_active_user_signs_in(
    sign_in: SignIn, client: httpx.AsyncClient, make: Factory, acme: Organization
) -> None:
    await sign_in(email="ann@acme.example")
    await make(User, organization=acme, email="no@acme.example", is_active=False)
    for email, password in (
        ("ann@acme.example", "wrong"),
        ("ann@acme.example", "x" * 100),
        ("nobody@acme.example", PASSWORD),
        ("no@acme.example", PASSWORD),
    ):
        answer = await client.post("/sign-in", json={"email": email, "password": password})
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Wrong address or password."}
    elsewhere = {"Host": "nowhere.localhost"}
    answer = await client.post(
        "/sign-in", json={"email": "ann@acme.example", "password": PASSWORD}, headers=elsewhere
    )
    assert answer.status_code == 404


async def test_a_token_is_worth_nothing_when_it_is_not_ours(
    sign_in: SignIn, make: Factory, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await sign_in(email="ann@acme.example")
    assert (await client.get("/partners")).status_code == 200

    await make(Organization, subdomain="other")
    assert (await client.get("/partners", headers={"Host": "other.localhost"})).status_code == 401
    assert (await client.get("/partners", headers={"Host": "none.localhost"})).status_code == 404
    assert (await client.get("/partners", headers={"Authorization": ""})).status_code == 401
    forged = client.headers["Authorization"].replace("A", "B", 1)
    assert (await client.get("/partners", headers={"Authorization": forged})).status_code == 401
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + security.LIFETIME + 1)
        assert (await client.get("/partners")).status_code == 401
    with monkeypatch.context() as patch:
        patch.setenv("PARTMAN_SECRET", "another secret of the tests, of 32 or more")
        assert (await client.get("/partners")).status_code == 401


async def test_a_user_who_was_disabled_is_out_at_once(
    sign_in: SignIn, as_tenant: EnterTenant, acme: Organization
) -> None:
    client = await sign_in(email="ann@acme.example")
    async with as_tenant(acme):
        await User.update({User.is_active: False}).where(User.email == "ann@acme.example")
    assert (await client.get("/partners")).status_code == 401


async def test_partners_are_added_changed_and_removed(sign_in: SignIn) -> None:
    client = await sign_in()
    added = await client.post("/partners", json={"name": "Borealis", "domain": "b.example"})
    assert added.status_code == 201, added.text
    path = f"/partners/{added.json()['id']}"
    changed = await client.patch(path, json={"relationship_health": 80})
    assert changed.json()["relationship_health"] == 80
    assert (await client.get(path)).json() == changed.json()
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.patch(path, json={})).status_code == 404


async def test_a_viewer_changes_nothing(sign_in: SignIn, make: Factory, acme: Organization) -> None:
    partner = await make(Partner, organization=acme)
    client = await sign_in(Role.VIEWER)
    new: dict[str, Any] = {"name": "n", "domain": "d"}
    for answer in (
        await client.post("/partners", json=new),
        await client.post("/partners/import", json=[new]),
        await client.patch(f"/partners/{partner.id}", json={"name": "n"}),
        await client.delete(f"/partners/{partner.id}"),
        await client.post("/opportunities", json=_deal(partner)),
    ):
        assert answer.status_code == 403, answer.text
    assert [each["name"] for each in (await client.get("/partners")).json()] == [partner.name]


async def test_another_organizations_rows_do_not_exist(
    sign_in: SignIn, make: Factory, as_owner: EnterOwner
) -> None:
    deal = await make(Opportunity, stage=Stage.CLOSED_WON, actual_close_date=date(2026, 2, 1))
    client = await sign_in()
    path = f"/partners/{deal.partner}"
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path)):
        answer = await client.request(method, where, json={"name": "mine"} if "P" in method else {})
        assert answer.status_code == 404
    assert (await client.get("/partners")).json() == []
    assert (await client.get("/opportunities")).json() == {"opportunities": [], "next": None}
    assert (await client.get("/reports/2026/1")).json() == []
    answer = await client.post(
        "/opportunities", json={**_deal(deal), "partner_id": str(deal.partner)}
    )
    assert answer.status_code == 409
    async with as_owner():
        assert await Opportunity.count() == 1


async def test_every_opportunity_is_on_one_page(
    sign_in: SignIn, make: Factory, acme: Organization
) -> None:
    partner = await make(Partner, organization=acme)
    for number in range(7):
        day = date(2026, 1, 1 + number // 3)
        await make(
            Opportunity,
            partner=partner,
            customer_name=f"{'Ace' if number % 2 else 'Bolt'} {number}",
            stage=Stage.PROPOSAL if number < 5 else Stage.QUALIFICATION,
            expected_close_date=day,
        )
    client = await sign_in()
    pages, after = [], ""
    while after is not None:
        answer = (await client.get("/opportunities", params={"limit": 3, "after": after})).json()
        pages.append([each["customer_name"] for each in answer["opportunities"]])
        after = answer["next"]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({name for page in pages for name in page}) == 7

    found = (await client.get("/opportunities?customer=Ace&stage=proposal")).json()
    assert {each["customer_name"] for each in found["opportunities"]} == {"Ace 1", "Ace 3"}
    assert (await client.get("/opportunities?after=now")).status_code == 422


async def test_a_report_has_the_won_deals_of_the_quarter(
    sign_in: SignIn, make: Factory, acme: Organization
) -> None:
    partner = await make(Partner, organization=acme, name="Borealis")
    for stage, day in (
        (Stage.CLOSED_WON, date(2026, 3, 31)),
        (Stage.CLOSED_WON, date(2026, 1, 1)),
        (Stage.CLOSED_WON, date(2026, 4, 1)),
        (Stage.CLOSED_LOST, date(2026, 2, 1)),
    ):
        await make(
            Opportunity, partner=partner, stage=stage, actual_close_date=day, deal_value="10.50"
        )
    client = await sign_in()
    [row] = (await client.get("/reports/2026/1")).json()
    assert (row["name"], row["deals"], row["value"]) == ("Borealis", 2, "21.00")
    assert (await client.get("/reports/2026/4")).json() == []
    assert (await client.get("/reports/2026/5")).status_code == 422


async def test_an_import_stores_all_rows_or_none(
    sign_in: SignIn, as_tenant: EnterTenant, acme: Organization
) -> None:
    client = await sign_in()
    rows = [{"name": f"Partner {number}", "domain": "p.example"} for number in range(100)]
    answer = await client.post("/partners/import", json=rows)
    assert (answer.status_code, answer.json()) == (201, {"imported": 100})
    # No text of PostgreSQL has this character.
    answer = await client.post("/partners/import", json=[*rows, {"name": "\0", "domain": "d"}])
    assert answer.status_code == 422
    assert "100" in answer.json()["detail"]
    async with as_tenant(acme):
        assert await Partner.count() == 100


async def test_it_does_not_start_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTMAN_SECRET", "short")
    with pytest.raises(RuntimeError, match="must have 32 characters"):
        async with application.lifespan(application.app):
            pass


@pytest.mark.partman_database("clone")
async def test_it_serves_with_its_own_pool(
    partman_database: MigratedDatabase, sign_in: SignIn
) -> None:
    async with application.app.router.lifespan_context(application.app):
        client = await sign_in()
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/partners")).json() == []
    assert partman_database.engine.pool is None


def _deal(of: Any) -> dict[str, Any]:
    return {
        "partner_id": str(of.id),
        "customer_name": "Ace",
        "deal_value": "10.00",
        "expected_close_date": "2026-01-01",
    }
