"""One organization's people get to none of another's rows, by whichever way."""

from typing import Any

from playwright.async_api import Page, expect

from tests.browser.console import (
    choose_organization,
    cookie,
    open_row,
    open_table,
    path_of,
    signed_in,
)
from tests.browser.site import ADMIN, MARK, OPERATOR, Organization, Site
from tests.browser.watching import Visitors


async def test_an_admin_can_open_no_row_of_another_organization_nor_choose_one(
    page: Page, visitors: Visitors, site: Site, first: Organization, second: Organization
) -> None:
    visitors.never_seen(MARK)
    visitors.expect_status(404)
    await signed_in(page, ADMIN)
    sql = "SELECT id FROM partners WHERE organization_id = $1 ORDER BY id LIMIT 1"
    await open_row(page, "partners", await site.value(sql, second.id))
    await expect(page.get_by_role("heading", name="Not found")).to_be_visible()

    await page.goto("/organization")
    await expect(page.get_by_role("textbox")).to_have_count(0)
    token = await cookie(page, "csrftoken")
    form: dict[str, Any] = {"subdomain": second.subdomain, "csrftoken": token}
    await page.context.request.post("/organization", form=form)
    await page.goto("/console/")
    await expect(page.locator("#tenant")).to_have_text(first.name)
    await open_table(page, "partners")


async def test_an_operator_sees_only_the_organization_that_was_chosen(
    page: Page, first: Organization, second: Organization
) -> None:
    await signed_in(page, OPERATOR)
    await page.goto("/console/")
    assert path_of(page) == "/organization"
    for organization, are_marked in ((first, False), (second, True)):
        await choose_organization(page, organization.subdomain)
        await expect(page.locator("#tenant")).to_have_text(organization.name)
        await open_table(page, "partners")
        names = await page.locator("tbody th").all_inner_texts()
        assert {MARK in name for name in names} == {are_marked}


async def test_a_tab_that_shows_anothers_rows_can_do_nothing_to_the_chosen_ones(
    page: Page, visitors: Visitors, site: Site, first: Organization, second: Organization
) -> None:
    visitors.expect_status(409)
    await signed_in(page, OPERATOR)
    await choose_organization(page, first.subdomain)
    sql = "SELECT id FROM partners WHERE organization_id = $1 ORDER BY id LIMIT 1"
    await open_row(page, "partners", await site.value(sql, first.id))
    before = await site.rows("SELECT * FROM partners ORDER BY id")

    other_tab = await page.context.new_page()
    await choose_organization(other_tab, second.subdomain)
    await page.get_by_label("Name").first.fill("of nobody")
    await page.get_by_role("button", name="Save").click()

    await expect(page.get_by_role("heading", name="Another organization was")).to_be_visible()
    assert await site.rows("SELECT * FROM partners ORDER BY id") == before
    await page.get_by_role("link", name=f"Open the console of {second.name}").click()
    await expect(page.locator("#tenant")).to_have_text(second.name)
