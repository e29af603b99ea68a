"""Without a mouse: all is reached with the Tab key, and one always sees where one is."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.console import path_of
from tests.browser.site import ADMIN, OPERATOR, PASSWORD, Organization, Site

FOCUSED = """() => {
  const element = document.activeElement, box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  return {
    name: (element.ariaLabel || element.labels?.[0]?.innerText || element.innerText || "").trim(),
    onScreen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight
      && box.right > 0 && box.left < innerWidth,
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isBody: element === document.body,
  };
}"""
"""What has the focus."""

MOST = 80
"""Stops on a page."""


async def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press the key until what is called so has the focus; each stop on the way is visible."""
    stops = []
    for _ in range(MOST):
        await page.keyboard.press(key)
        focused: dict[str, Any] = await page.evaluate(FOCUSED)
        if focused["isBody"]:
            continue  # between the page's last stop and its first
        stops.append(focused["name"])
        assert focused["onScreen"], f"{focused} is not on the screen"
        assert focused["outlined"], f"{focused} does not show that it has the focus"
        if focused["name"].lower() == name.lower():
            return
    pytest.fail(f"there is no {name} among {stops}")


async def enter(page: Page) -> None:
    """Press Enter, and wait for the next page and its styles, which the next key may need."""
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def sign_in_by_keys(page: Page, name: str) -> None:
    await page.goto("/")
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    await page.keyboard.type(name)
    await tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    await enter(page)


async def test_an_admin_edits_a_row_without_a_mouse(
    page: Page, site: Site, first: Organization
) -> None:
    await sign_in_by_keys(page, ADMIN)

    assert path_of(page) == "/console/"
    await tab_to(page, "Partners")
    await enter(page)
    await tab_to(page, "DataDog")
    await enter(page)
    await expect(page.get_by_role("heading", name="DataDog")).to_be_visible()
    await tab_to(page, "Domain (required)")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("monitoring")
    await enter(page)
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    sql = "SELECT domain FROM partners WHERE name = 'DataDog' AND organization_id = $1"
    assert await site.value(sql, first.id) == "monitoring"

    await tab_to(page, "Sign out", "Shift+Tab")
    await enter(page)
    assert path_of(page) == "/sign-in"
    assert await site.value("SELECT count(*) FROM console_sessions") == 0


async def test_an_operator_gets_around_without_a_mouse(page: Page, first: Organization) -> None:
    await sign_in_by_keys(page, OPERATOR)
    assert path_of(page) == "/migrations"
    await tab_to(page, "Skip to the content")
    for tab in ("Plan", "Drift", "Diagram", "Organization"):
        await tab_to(page, tab)
        await enter(page)
        await expect(page.get_by_role("heading", name=tab, exact=True)).to_be_visible()
    await tab_to(page, "Subdomain")
    await page.keyboard.type(first.subdomain)
    await enter(page)
    await expect(page.locator("#tenant")).to_have_text(first.name)
    await page.goto("/migrations")
    await tab_to(page, "Sign out")
    await enter(page)
    assert path_of(page) == "/sign-in"
