"""One organization's people get to none of another's rows, by whichever way."""

import re
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from tests.browser.console import (
    ask,
    choose_organization,
    cookie,
    open_row,
    open_table,
    path_of,
    sign_in,
)
from tests.browser.site import ADMIN, MARK, OPERATOR, Organization, Site
from tests.browser.watching import Visitors

OWNED_BY = {
    "organizations": "id",
    **dict.fromkeys(
        ("users", "partners", "opportunities", "quarterly_goals", "alerts"), "organization_id"
    ),
}


async def row_of(site: Site, organization: Organization, table: str = "partners") -> UUID:
    """The ID of a row of theirs."""
    sql = f"SELECT min(id::text)::uuid FROM {table} WHERE {OWNED_BY[table]} = $1"
    found: UUID = await site.value(sql, organization.id)
    return found


async def contents(site: Site) -> list[Any]:
    """Every row of all six tables."""
    return [await site.rows(f"SELECT * FROM {table} ORDER BY id") for table in OWNED_BY]


async def test_anothers_row_cannot_be_opened_by_its_address(
    page: Page, visitors: Visitors, site: Site, second: Organization
) -> None:
    visitors.never_seen(MARK)
    visitors.expect_status(404)
    await sign_in(page, ADMIN)
    theirs = await row_of(site, second)
    async with page.expect_response(re.compile(str(theirs))) as answered:
        await page.goto(f"/console/#/partners/{theirs}/")
    assert (await answered.value).status == 404
    await expect(page.locator("form input[name=name]")).to_have_count(0)


@pytest.mark.parametrize("table", list(OWNED_BY))
async def test_anothers_rows_are_not_there_for_the_interface(
    page: Page, visitors: Visitors, site: Site, second: Organization, table: str
) -> None:
    visitors.never_seen(MARK)
    await sign_in(page, ADMIN)
    before, theirs = await contents(site), await row_of(site, second, table)

    for method, data in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        assert (await ask(page, method, f"{table}/{theirs}/", data)).status == 404
    assert (await ask(page, "GET", f"{table}/{theirs}/references/")).status in {200, 404}
    for question in ("", f"?id={theirs}", f"?organization_id={second.id}", "?__page_size=1000"):
        listed = await ask(page, "GET", f"{table}/{question}")
        assert str(theirs) not in await listed.text()
        assert MARK not in await listed.text()
    ids = await ask(page, "GET", f"{table}/ids/?limit=1000")
    assert str(theirs) not in await ids.text()
    assert MARK not in await ids.text()
    count = await (await ask(page, "GET", f"{table}/count/?id={theirs}")).json()
    assert count["count"] == 0

    assert await contents(site) == before


@pytest.mark.parametrize("column", ["partner_id", "assigned_user_id"])
async def test_nothing_can_be_made_to_refer_to_anothers_row(
    page: Page, site: Site, first: Organization, second: Organization, column: str
) -> None:
    await sign_in(page, ADMIN)
    before = await contents(site)
    table = {"partner_id": "partners", "assigned_user_id": "users"}[column]
    theirs = str(await row_of(site, second, table))
    opportunity = {
        "partner_id": str(await row_of(site, first)),
        "customer_name": "Lakeshore Bank",
        "deal_value": "10.00",
        "stage": "proposal",
        "expected_close_date": "2027-01-31",
    }
    added = await ask(page, "POST", "opportunities/", opportunity | {column: theirs})
    assert added.status == 422
    assert "violates foreign key constraint" in await added.text()
    ours = await row_of(site, first, "opportunities")
    changed = await ask(page, "PATCH", f"opportunities/{ours}/", {column: theirs})
    assert changed.status == 422
    assert await contents(site) == before
    assert (await ask(page, "POST", "opportunities/", opportunity)).ok


async def test_whose_row_it_is_cannot_be_said(page: Page, site: Site, second: Organization) -> None:
    await sign_in(page, ADMIN)
    partner = {"name": "Sneak", "domain": "identity", "commission_structure": "{}"}
    await ask(page, "POST", "partners/", partner | {"organization_id": str(second.id)})
    owners = await site.rows("SELECT organization_id FROM partners WHERE name = 'Sneak'")
    assert second.id not in [row["organization_id"] for row in owners]


async def test_an_admin_cannot_choose_an_organization(
    page: Page, visitors: Visitors, first: Organization, second: Organization
) -> None:
    visitors.never_seen(MARK)
    await sign_in(page, ADMIN)
    await page.goto("/organization")
    await expect(page.get_by_role("textbox")).to_have_count(0)
    token = await cookie(page, "csrftoken")
    form: dict[str, Any] = {"subdomain": second.subdomain, "csrftoken": token}
    await page.context.request.post("/organization", form=form)
    await page.goto("/console/")
    await expect(page.locator("#tenant")).to_have_text(first.name)
    await open_table(page, "partners")


async def test_an_operator_sees_no_rows_before_choosing(page: Page, visitors: Visitors) -> None:
    visitors.never_seen(MARK)
    await sign_in(page, OPERATOR)
    assert (await ask(page, "GET", "partners/")).status == 422
    await page.goto("/console/")
    assert path_of(page) == "/organization"


async def test_an_operator_sees_only_the_organization_that_was_chosen(
    page: Page, first: Organization, second: Organization
) -> None:
    await sign_in(page, OPERATOR)
    for organization, are_marked in ((first, False), (second, True)):
        await choose_organization(page, organization.subdomain)
        await expect(page.locator("#tenant")).to_have_text(organization.name)
        await open_table(page, "partners")
        names = await page.locator("tbody .link").all_inner_texts()
        assert {MARK in name for name in names} == {are_marked}


async def test_a_tab_that_shows_anothers_rows_can_do_nothing_to_the_chosen_ones(
    page: Page, visitors: Visitors, site: Site, first: Organization, second: Organization
) -> None:
    visitors.expect_status(409)
    await sign_in(page, OPERATOR)
    await choose_organization(page, first.subdomain)
    await open_row(page, "partners", await row_of(site, first))
    before = await contents(site)

    other_tab = await page.context.new_page()
    await choose_organization(other_tab, second.subdomain)
    await page.get_by_label("Name").fill("of nobody")
    await page.get_by_role("button", name="Save").click()

    again = page.get_by_role("alert").get_by_role("link")
    await expect(again).to_have_text("Another organization was chosen. Reload the console")
    await page.goto("/console/#/partners")
    await expect(page.get_by_role("heading", name="Edit partners")).to_have_count(0)
    await expect(page.locator("tbody .link")).to_have_count(0)
    assert await contents(site) == before
    await again.click()
    await expect(page.locator("#tenant")).to_have_text(second.name)


async def test_after_a_sign_out_elsewhere_the_page_asks_to_sign_in(
    page: Page, visitors: Visitors, site: Site, first: Organization
) -> None:
    """Not in the page itself: it would go on saying whose rows these were."""
    visitors.expect_status(401)
    await sign_in(page, ADMIN)
    await open_table(page, "partners")
    await site.rows("DELETE FROM console_sessions")
    await page.get_by_role("link", name="alerts").click()
    await expect(page).to_have_url(re.compile("/sign-in$"))
