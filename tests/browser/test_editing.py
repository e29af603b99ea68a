"""What is done in the console is done in the database; the pages need no script."""

from decimal import Decimal
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.console import open_row, open_table, save, signed_in
from tests.browser.site import ADMIN, Organization, Site
from tests.browser.watching import Visitors

PARTNER = "SELECT * FROM partners WHERE name = 'DataDog' AND organization_id = $1"


async def test_a_change_is_kept_and_nothing_else_is_changed(
    page: Page, site: Site, first: Organization
) -> None:
    """Of each table, with what a browser makes of times, line breaks and JSON."""
    await signed_in(page, ADMIN)
    await site.rows("UPDATE opportunities SET notes = E'\\na\\r\\nb\\n', customer_name = ' a  b '")
    for table, label in (
        ("organizations", "Name"),
        ("users", "Last name"),
        ("partners", "Domain"),
        ("opportunities", "Currency"),
        ("quarterly_goals", "Currency"),
        ("alerts", "Alert type"),
    ):
        whose = "id" if table == "organizations" else "organization_id"
        sql = f"SELECT * FROM {table} WHERE {whose} = $1 ORDER BY id LIMIT 1"
        before = dict(await site.row(sql, first.id))
        await open_row(page, table, before["id"])
        await page.get_by_label(label).first.fill("CHF")
        await save(page)
        after = dict(await site.row(sql, first.id))
        changed = {name for name in before if before[name] != after[name]}
        assert changed - {"updated_at"} == {label.lower().replace(" ", "_")}


async def test_a_row_is_added_found_and_deleted(
    visitors: Visitors, site: Site, first: Organization
) -> None:
    page = await visitors.new(java_script_enabled=False)
    await site.rows(
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT $1, 'Partner ' || n, 'example', '{}' FROM generate_series(1, 101) AS n",
        first.id,
    )
    await signed_in(page, ADMIN)
    await open_table(page, "opportunities")
    await page.get_by_role("link", name="New opportunity").click()
    await page.get_by_label("Customer name").fill("Lakeshore Bank")
    await find_partner(page, "Lacework")
    await page.get_by_label("Assigned user").select_option("Admin User")
    await (
        page.get_by_role("group", name="Customer contact").get_by_label("Email").fill("a@b.example")
    )
    await page.get_by_label("Deal value").fill("-1")
    await page.get_by_label("Stage").select_option("Proposal")
    await page.get_by_label("Expected close date").fill("2027-01-31")
    visitors.expect_status(422)
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Deal value")
    await expect(page.get_by_label("Deal value")).to_have_value("-1")
    await page.get_by_label("Deal value").fill("1,234.50")
    await save(page, "Add")
    await expect(page.get_by_role("heading", name="Lakeshore Bank")).to_be_visible()
    row = await site.row(
        "SELECT opportunities.*, partners.name, users.email FROM opportunities"
        " JOIN partners ON partners.id = partner_id JOIN users ON users.id = assigned_user_id"
        " WHERE customer_name = 'Lakeshore Bank'"
    )
    assert (row["organization_id"], row["name"]) == (first.id, "Lacework")
    assert (row["email"], row["deal_value"]) == ("admin@partman.com", Decimal("1234.50"))
    assert (row["stage"], row["customer_contact"]) == ("proposal", '{"email": "a@b.example"}')

    await page.get_by_role("link", name="← Opportunities").click()
    await page.get_by_label("Search opportunities").fill("lakeshore")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("tbody th")).to_have_text(["Lakeshore Bank"])
    await page.get_by_label("Choose Lakeshore Bank").check()
    await page.get_by_role("button", name="Delete the chosen rows").click()
    await expect(page.get_by_role("heading")).to_have_text("Delete Lakeshore Bank?")
    await save(page, "Delete")
    assert await site.rows("SELECT FROM opportunities WHERE id = $1", row["id"]) == []


async def find_partner(page: Page, name: str) -> None:
    """Choose among more partners than a list has: by the search's button, and by Enter."""
    options = page.locator("#partner_id option")
    await expect(options).to_have_count(101)  # the first hundred, and none
    search = page.get_by_label("Search partner")
    await search.fill("nobody")
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(options).to_have_text([""])
    await expect(page.get_by_label("Customer name")).to_have_value("Lakeshore Bank")
    await search.fill(name.lower())
    await search.press("Enter")
    await expect(options).to_have_text(["", name])
    await page.locator("#partner_id").select_option(name)


async def test_a_form_does_not_overwrite_concurrent_changes(
    page: Page, visitors: Visitors, site: Site, first: Organization
) -> None:
    visitors.expect_status(412)
    before = await site.row(PARTNER, first.id)
    await signed_in(page, ADMIN)
    await open_row(page, "partners", before["id"])
    for domain in ("monitoring", "logging"):  # of its own changes it knows
        await page.get_by_label("Domain").fill(domain)
        await save(page)
    somebody = "UPDATE partners SET website = 'https://new.example' WHERE id = $1"
    await site.rows(somebody, before["id"])
    await page.get_by_label("Domain").fill("metrics")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed it")
    await expect(page.get_by_text("Saved meanwhile: https://new.example")).to_be_visible()
    now = "SELECT domain, website FROM partners WHERE id = $1"
    assert tuple(await site.row(now, before["id"])) == ("logging", "https://new.example")


async def test_a_list_is_exported(page: Page, tmp_path: Path) -> None:
    await signed_in(page, ADMIN)
    await open_table(page, "partners")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    await (await download.value).save_as(tmp_path / "partners.csv")
    assert "Lacework" in (tmp_path / "partners.csv").read_text()
