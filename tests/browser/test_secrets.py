"""No answer has the hash of a password in it: a test fails whose pages, or questions, get one."""

from playwright.async_api import Page, expect

from tests.browser.console import ask, open_add, open_row, open_table, sign_in
from tests.browser.site import ADMIN, HASH, Organization, Site


async def test_the_console_tells_all_of_a_user_but_the_password(
    page: Page, site: Site, first: Organization
) -> None:
    sql = "SELECT id, email, password_hash FROM users WHERE organization_id = $1 ORDER BY email"
    user = (await site.rows(sql, first.id))[0]
    assert user["password_hash"] == HASH, "there is one"
    await sign_in(page, ADMIN)
    await open_table(page, "users")
    await expect(page.get_by_role("link", name=user["email"])).to_be_visible()
    await open_row(page, "users", user["id"])
    await open_table(page, "users")
    await open_add(page, "users")
    await expect(page.get_by_label("password")).to_have_count(0)

    for path in (f"{user['id']}/", "schema/", "new/", "ids/", f"?id={user['id']}", "?__order=id"):
        assert (await ask(page, "GET", f"users/{path}")).ok
    for question in ("?__order=password_hash", "?__visible_fields=password_hash"):
        assert (await ask(page, "GET", f"users/{question}")).status == 400
    right, wrong = [
        await (await ask(page, "GET", f"users/?password_hash={each}")).text()
        for each in (HASH, "x")
    ]
    assert right == wrong, "nobody finds out by searching"
    set_one = {"password_hash": "mine"}
    await ask(page, "PATCH", f"users/{user['id']}/", set_one)
    assert await site.value("SELECT password_hash FROM users WHERE id = $1", user["id"]) == HASH
