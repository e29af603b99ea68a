"""Actions of a person on the pages, by visible names."""

import json
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import APIResponse, Page, expect

from tests.browser.site import HASH, PASSWORD, PASSWORD_HASH


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Sign in, and wait for the result."""
    await page.goto("/sign-in")
    await page.get_by_label("E-mail address").fill(name)
    await page.get_by_label("Password").fill(password)
    async with page.expect_navigation():
        await page.get_by_role("button", name="Sign in").click()
    await settled(page)


async def settled(page: Page) -> None:
    """Wait until the page has loaded and no navigation is pending."""
    if path_of(page) == "/console/":
        await page.locator("#user").wait_for()
        await page.get_by_role("heading", name="Welcome to partman").wait_for()


async def choose_organization(page: Page, subdomain: str) -> None:
    """Choose an organization, as an operator."""
    await page.goto("/organization")
    await page.get_by_label("Subdomain").fill(subdomain)
    await page.get_by_role("button", name="Choose").click()
    await page.wait_for_url("**/console/**")
    await settled(page)


async def open_table(page: Page, table: str) -> None:
    """Show a table's rows; there must be at least one."""
    await page.goto(f"/console/#/{table}")
    title = table.replace("_", " ")
    await expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    await page.locator("tbody .link a").first.wait_for()


async def open_row(page: Page, table: str, row_id: object) -> None:
    """Show the form of a row."""
    await page.goto(f"/console/#/{table}/{row_id}/")
    await expect(page.get_by_role("heading", name=f"Edit {table}")).to_be_visible()
    await expect(first_field(page)).not_to_have_value("")


async def open_add(page: Page, table: str) -> None:
    """Show the form for a new row, with its defaults."""
    await page.goto(f"/console/#/{table}/add/")
    await expect(page.get_by_role("heading", name=f"Add {table}")).to_be_visible()
    await page.locator('form input[type="datetime-local"]').first.wait_for()


async def save(page: Page) -> None:
    """Save the form, and wait for the confirmation."""
    async with page.expect_response(_is_write) as answered:
        await page.get_by_role("button", name="Save").click()
    answer = await answered.value
    assert answer.ok, await answer.text()


async def pick(page: Page, field: str, row: str) -> None:
    """Choose the referenced row in the window that the field opens."""
    await page.get_by_label(field).first.click()
    window = page.locator(".modal:visible")
    await window.get_by_role("searchbox").fill(row)
    await window.locator(".results_list").get_by_role("link", name=row).click()
    await expect(page.get_by_label(field).first).to_have_value(row)


def first_field(page: Page) -> Any:
    """Return the first field of the form."""
    return page.locator("form input:not([type=hidden])").first


async def ask(page: Page, method: str, path: str, data: object = None) -> APIResponse:
    """Send a request to the console's API as its page does: with the cookies and the CSRF token.

    Visitors search the responses to pages for hashes; this function searches its own.
    """
    headers = {"X-CSRFToken": await cookie(page, "csrftoken")}
    if data is not None:
        headers["Content-Type"] = "application/json"
    answer = await page.context.request.fetch(
        f"/console/api/tables/{path}",
        method=method,
        headers=headers,
        data=None if data is None else json.dumps(data),
        max_redirects=0,
    )
    text = await answer.text()
    assert HASH not in text
    assert PASSWORD_HASH not in text
    return answer


async def cookie(page: Page, name: str) -> str:
    found = {each["name"]: each["value"] for each in await page.context.cookies()}
    return found[name]


def path_of(page: Page) -> str:
    return urlsplit(page.url).path


def _is_write(answer: Any) -> bool:
    return answer.request.method in {"PATCH", "POST", "DELETE"}
