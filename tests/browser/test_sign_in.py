"""Signing in and out, and what ends a session."""

from playwright.async_api import Cookie, Page, expect

from partman.serve.people.accounts import ATTEMPTS_OF_ADDRESS
from tests.browser.console import cookie, open_table, path_of, send_password, sign_in, signed_in
from tests.browser.site import ADMIN, OPERATOR, Organization, Site
from tests.browser.watching import Visitors

NEW_PASSWORD = "staple battery horse"
WRONG = "The address or the password is wrong, or there were too many attempts."


async def test_an_admin_is_led_to_the_console_of_their_organization(
    page: Page, first: Organization
) -> None:
    """With a cookie that no script and no other site gets."""
    await page.goto("/")
    assert path_of(page) == "/sign-in"
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    await sign_in(page, f"  {ADMIN.upper()} ")
    assert path_of(page) == "/console/"
    await expect(page.locator("#tenant")).to_have_text(first.name)
    await open_table(page, "partners")
    session = await _session(page)
    assert (session["httpOnly"], session["secure"]) == (True, False)
    assert session["sameSite"] in {"Lax", "Strict"}
    assert "id=" not in await page.evaluate("document.cookie")


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    page: Page, visitors: Visitors
) -> None:
    visitors.expect_status(401)
    said = set()
    for name, password in ((ADMIN, "wrong"), ("nobody@first.example", "wrong")):
        await page.goto("/sign-in")
        async with page.expect_response("**/sign-in") as answered:
            await sign_in(page, name, password)
        assert (await answered.value).status in {200, 401}
        await expect(page.get_by_role("alert")).to_have_text(WRONG)
        said.add(" ".join((await page.locator("main").inner_text()).split()))
        assert path_of(page) == "/sign-in"
    assert len(said) == 1
    assert "id" not in {each["name"] for each in await page.context.cookies()}


async def test_after_too_many_attempts_the_right_password_does_not_help(
    page: Page, visitors: Visitors, site: Site
) -> None:
    visitors.expect_status(401)
    await sign_in(page, ADMIN, "wrong")
    for _ in range(1, ATTEMPTS_OF_ADDRESS):
        assert (await send_password(page, ADMIN, "wrong")).status == 401
    await sign_in(page, ADMIN)
    await expect(page.get_by_role("alert")).to_have_text(WRONG)
    assert await site.value("SELECT count(*) FROM console_sessions") == 0


async def test_an_operator_is_led_to_the_migrations_and_signing_out_kills_the_cookie(
    page: Page, site: Site, visitors: Visitors
) -> None:
    await sign_in(page, OPERATOR)
    assert path_of(page) == "/migrations"
    await expect(page.get_by_role("heading", name="Migrations", exact=True)).to_be_visible()
    token = await cookie(page, "id")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    assert await site.value("SELECT count(*) FROM console_sessions") == 0
    thief = await visitors.new()
    await thief.context.add_cookies([{"name": "id", "value": token, "url": site.url}])
    await thief.goto("/migrations")
    assert path_of(thief) == "/sign-in"


async def test_a_new_password_ends_the_sessions_everywhere(page: Page, visitors: Visitors) -> None:
    elsewhere = await visitors.new()
    for each in (page, elsewhere):
        await signed_in(each, OPERATOR)
    await page.goto("/password")
    await page.get_by_label("Current password").fill("correct horse battery")
    await page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    await page.get_by_label("Repeat the new password").fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Change password").click()
    await page.wait_for_url("**/sign-in")
    await elsewhere.goto("/console/")
    assert path_of(elsewhere) == "/sign-in"
    await sign_in(page, OPERATOR, NEW_PASSWORD)
    assert path_of(page) == "/migrations"


async def test_an_account_that_is_disabled_or_whose_password_is_set_is_out_at_once(
    page: Page, site: Site
) -> None:
    for name, change in ((ADMIN, "password = password || '0'"), (OPERATOR, "active = false")):
        await signed_in(page, name)
        await page.goto("/password")
        assert path_of(page) == "/password"
        await site.rows(f"UPDATE console_accounts SET {change} WHERE username = $1", name)
        await page.goto("/console/" if name == ADMIN else "/password")
        assert path_of(page) == "/sign-in"


async def test_in_production_cookies_are_for_https(project_page: Page) -> None:
    await sign_in(project_page, ADMIN)
    assert path_of(project_page) == "/console/", "127.0.0.1 is as good as HTTPS to a browser"
    assert {each["secure"] for each in await project_page.context.cookies()} == {True}
    assert (await _session(project_page))["httpOnly"]


async def _session(page: Page) -> Cookie:
    [found] = [each for each in await page.context.cookies() if each["name"] == "id"]
    return found
