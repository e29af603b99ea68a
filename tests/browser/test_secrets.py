"""No answer has the hash of a password in it: a test fails whose pages get one."""

from playwright.async_api import Page, expect

from tests.browser.console import open_row, open_table, signed_in
from tests.browser.site import ADMIN, HASH, Organization, Site


async def test_the_console_tells_all_of_a_user_but_the_password(
    page: Page, site: Site, first: Organization
) -> None:
    sql = """
        SELECT id, concat_ws(' ', first_name, last_name) AS name, password_hash FROM users
        WHERE organization_id = $1 ORDER BY email
        """
    user = (await site.rows(sql, first.id))[0]
    assert user["password_hash"] == HASH, "there is one"
    await signed_in(page, ADMIN)
    await open_table(page, "users")
    await expect(page.get_by_role("link", name=user["name"])).to_be_visible()
    await open_row(page, "users", user["id"])
    await page.goto("/console/users/new/")
    await expect(page.get_by_label("Last name")).to_be_visible()
    await expect(page.get_by_label("password")).to_have_count(0)
