"""Actions of a person on the pages, by visible names."""

from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import APIResponse, Page, expect

from tests.browser.site import PASSWORD


async def signed_in(page: Page, name: str) -> None:
    """Get a session, without the page that test_sign_in.py fills in."""
    await page.context.request.get("/sign-in")
    answer = await send_password(page, name, PASSWORD)
    assert answer.status == 303, await answer.text()


async def send_password(page: Page, name: str, password: str) -> APIResponse:
    """Send what the page to sign in sends, after it was opened."""
    form: dict[str, Any] = {
        "username": name,
        "password": password,
        "csrftoken": await cookie(page, "csrftoken"),
    }
    return await page.context.request.post("/sign-in", form=form, max_redirects=0)


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Sign in on the page, and wait for the result."""
    await page.goto("/sign-in")
    await page.get_by_label("E-mail address").fill(name)
    await page.get_by_label("Password").fill(password)
    async with page.expect_navigation():
        await page.get_by_role("button", name="Sign in").click()


async def choose_organization(page: Page, subdomain: str) -> None:
    """Choose an organization, as an operator."""
    await page.goto("/organization")
    await page.get_by_label("Subdomain").fill(subdomain)
    await page.get_by_role("button", name="Choose").click()
    await page.wait_for_url("**/console/**")


async def open_table(page: Page, table: str) -> None:
    """Show a table's rows; there must be at least one."""
    await page.goto(f"/console/{table}/")
    await page.locator("tbody th a").first.wait_for()


async def open_row(page: Page, table: str, row_id: object) -> None:
    """Show the form of a row."""
    await page.goto(f"/console/{table}/row/{row_id}")


async def save(page: Page, button: str = "Save") -> None:
    """Save the form, and wait for the confirmation."""
    await page.get_by_role("button", name=button, exact=True).click()
    await expect(page.get_by_role("status")).to_be_visible()


async def cookie(page: Page, name: str) -> str:
    found = {each["name"]: each["value"] for each in await page.context.cookies()}
    return found[name]


def path_of(page: Page) -> str:
    return urlsplit(page.url).path
