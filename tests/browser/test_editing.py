"""What is done in the console is done in the database, and what is refused is not."""

from decimal import Decimal
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.console import open_add, open_row, open_table, pick, save, sign_in
from tests.browser.site import ADMIN, Organization, Site
from tests.browser.watching import Visitors

PARTNER = "SELECT * FROM partners WHERE name = 'DataDog' AND organization_id = $1"


async def test_a_change_is_kept_and_nothing_else_is_changed(
    page: Page, site: Site, first: Organization
) -> None:
    # A form has no fractions of a second.
    await site.rows("UPDATE partners SET created_at = created_at + interval '0.123456 s'")
    before = dict(await site.row(PARTNER, first.id))
    await sign_in(page, ADMIN)
    await open_row(page, "partners", before["id"])
    await page.get_by_label("domain", exact=True).fill("monitoring")
    await save(page)
    after = dict(await site.row(PARTNER, first.id))
    assert after.pop("domain") == "monitoring"
    assert after.pop("updated_at") > before.pop("updated_at")
    assert before.pop("domain") == "observability"
    assert after == before, "its JSON, and when it was created, above all"


async def test_an_admin_renames_the_organization(
    page: Page, site: Site, first: Organization
) -> None:
    """Its form has what an admin may not change, too."""
    await sign_in(page, ADMIN)
    await open_row(page, "organizations", first.id)
    await page.get_by_label("name", exact=True).fill("Amber")
    await save(page)
    sql = "SELECT name, subdomain FROM organizations WHERE id = $1"
    assert tuple(await site.row(sql, first.id)) == ("Amber", first.subdomain)


async def test_a_row_is_added_that_refers_to_others(
    page: Page, site: Site, first: Organization
) -> None:
    await sign_in(page, ADMIN)
    await open_add(page, "opportunities")
    await pick(page, "Partner Id", "Lacework")
    await pick(page, "Assigned User Id", "admin@partman.com")
    await page.get_by_label("customer name").fill("Lakeshore Bank")
    await page.get_by_label("deal value").fill("1234.50")
    await page.get_by_label("stage").select_option("proposal")
    await page.get_by_label("expected close date").fill("2027-01-31")
    async with page.expect_response("**/opportunities/") as answered:
        await page.get_by_role("button", name="Create").click()
    answer = await answered.value
    assert answer.ok, await answer.text()
    row = await site.row(
        "SELECT opportunities.*, partners.name, users.email FROM opportunities"
        " JOIN partners ON partners.id = partner_id JOIN users ON users.id = assigned_user_id"
        " WHERE customer_name = 'Lakeshore Bank'"
    )
    assert (row["organization_id"], row["name"]) == (first.id, "Lacework")
    assert (row["email"], row["deal_value"]) == ("admin@partman.com", Decimal("1234.50"))
    assert row["stage"] == "proposal"


async def test_a_row_is_deleted(page: Page, site: Site, first: Organization) -> None:
    sql = "SELECT id, title FROM alerts WHERE organization_id = $1 ORDER BY id LIMIT 1"
    alert = await site.row(sql, first.id)
    before = await site.value("SELECT count(*) FROM alerts")
    await sign_in(page, ADMIN)
    await open_row(page, "alerts", alert["id"])
    page.once("dialog", lambda dialog: dialog.accept())
    await page.locator("[data-uitest=drop_down_button]").click()
    async with page.expect_response(f"**/alerts/{alert['id']}/"):
        await page.locator("[data-uitest=delete_row_button]").click()
    await expect(page.get_by_role("heading", name="alerts", exact=True)).to_be_visible()
    assert await site.rows("SELECT FROM alerts WHERE id = $1", alert["id"]) == []
    assert await site.value("SELECT count(*) FROM alerts") == before - 1


async def test_a_change_that_is_refused_says_why(
    page: Page, visitors: Visitors, site: Site, first: Organization
) -> None:
    visitors.expect_status(422)
    before = await site.row(PARTNER, first.id)
    await sign_in(page, ADMIN)
    await open_row(page, "partners", before["id"])
    await page.get_by_label("relationship health").fill("101")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("relationship_health")).to_be_visible()
    assert await site.row(PARTNER, first.id) == before


async def test_a_form_does_not_overwrite_concurrent_changes(
    page: Page, visitors: Visitors, site: Site, first: Organization
) -> None:
    visitors.expect_status(412)
    before = await site.row(PARTNER, first.id)
    await sign_in(page, ADMIN)
    await open_row(page, "partners", before["id"])
    for domain in ("monitoring", "logging"):  # of its own changes it knows
        await page.get_by_label("domain", exact=True).fill(domain)
        await save(page)
    somebody = "UPDATE partners SET website = 'https://new.example' WHERE id = $1"
    await site.rows(somebody, before["id"])
    await page.get_by_label("domain", exact=True).fill("metrics")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Another person has changed it")).to_be_visible()
    now = "SELECT domain, website FROM partners WHERE id = $1"
    assert tuple(await site.row(now, before["id"])) == ("logging", "https://new.example")
    await page.reload()
    await open_row(page, "partners", before["id"])
    await page.get_by_label("domain", exact=True).fill("metrics")
    await save(page)
    assert tuple(await site.row(now, before["id"])) == ("metrics", "https://new.example")


async def test_chosen_rows_are_changed_at_once(page: Page, site: Site, first: Organization) -> None:
    """With one field alone, whatever is known of them from a form that was open before."""
    before = await site.row(PARTNER, first.id)
    await sign_in(page, ADMIN)
    await open_row(page, "partners", before["id"])
    await site.rows("UPDATE partners SET website = NULL")
    await open_table(page, "partners")
    await page.get_by_role("row", name="DataDog").get_by_role("checkbox").check()
    await page.get_by_role("link", name="Update 1 rows").click()
    window = page.locator(".modal:visible")
    await window.get_by_role("combobox").first.select_option("domain")
    await window.get_by_label("domain").fill("monitoring")
    async with page.expect_response("**/partners/*/") as answered:
        await window.get_by_role("button", name="Update").click()
    answer = await answered.value
    assert answer.ok, await answer.text()
    after = await site.row(PARTNER, first.id)
    assert (after["domain"], after["website"]) == ("monitoring", None)


async def test_a_new_row_that_is_refused_says_why(
    page: Page, visitors: Visitors, site: Site
) -> None:
    visitors.expect_status(422)
    before = await site.value("SELECT count(*) FROM opportunities")
    await sign_in(page, ADMIN)
    await open_add(page, "opportunities")
    await pick(page, "Partner Id", "Lacework")
    await page.get_by_label("customer name").fill("Lakeshore Bank")
    await page.get_by_label("deal value").fill("-1")
    await page.get_by_label("stage").select_option("proposal")
    await page.get_by_label("expected close date").fill("2027-01-31")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_text("deal_value")).to_be_visible()
    assert await site.value("SELECT count(*) FROM opportunities") == before


async def test_changes_reserved_for_operators_are_refused(
    page: Page, visitors: Visitors, site: Site, first: Organization
) -> None:
    visitors.expect_status(422)
    await sign_in(page, ADMIN)
    await open_row(page, "organizations", first.id)
    await page.get_by_label("subdomain").fill("taken-over")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("only allowed for the platform's operators")).to_be_visible()
    sql = "SELECT subdomain FROM organizations WHERE id = $1"
    assert await site.value(sql, first.id) == first.subdomain


async def test_a_list_is_filtered_sorted_and_exported(page: Page, tmp_path: Any) -> None:
    await sign_in(page, ADMIN)
    await open_table(page, "partners")
    await page.locator("[data-uitest=filter_button]").click()
    await page.get_by_role("textbox", name="domain").fill("security")
    await page.locator("[data-uitest=submit_filter_button]").click()
    await expect(page.locator("tbody .link")).to_have_text(["Lacework"])
    await page.locator("[data-uitest=csv_button]").click()
    async with page.expect_download() as download:
        await page.locator("[data-uitest=download_csv_button]").click()
    csv = await (await download.value).path()
    assert "Lacework" in csv.read_text()
    assert "password" not in csv.read_text()
