"""The site of the documents, opened from its files: on a phone, in the dark, and its search."""

from typing import Literal

import pytest
from playwright.async_api import Browser, Page

from tests.browser.accessibility import findings
from tests.docs.test_built_site import built
from tests.summary import thorough
from website.pages import pages_in_navigation

pytestmark = pytest.mark.site

WIDER = """() => {
    const frames = ["auto", "scroll", "hidden"];
    const framed = element => element && element !== document.body &&
        (frames.includes(getComputedStyle(element).overflowX) || framed(element.parentElement));
    return [...document.querySelectorAll("article *")]
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
        .filter(one => !framed(one))
        .map(one => one.outerHTML.slice(0, 100));
}"""


async def opened(browser: Browser, width: int) -> tuple[Page, list[str]]:
    """Return a page that is as wide, and what will go wrong on it or is asked of the network."""
    page = await browser.new_page(viewport={"width": width, "height": 844}, color_scheme="dark")
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url),
    )
    return page, wrong


async def test_every_page_is_readable_on_a_phone_without_a_network(browser: Browser) -> None:
    page, wrong = await opened(browser, 390)
    for name in (*pages_in_navigation(), "source/docker/roles.sql.md"):
        await page.goto(built(name).as_uri())
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert await page.evaluate(WIDER) == [], name
    assert wrong == []
    await page.close()


USUALLY: tuple[tuple[str, Literal["light", "dark"], int], ...] = (
    ("architecture.md", "light", 1280),
    ("performance.md", "dark", 1280),  # tables that scroll
    ("index.md", "dark", 390),  # tables without headers
)


async def test_axe_finds_nothing_of_any_level(browser: Browser) -> None:
    """On some pages, and with PARTMAN_EVERY_POINT=1 on all."""
    looks = [(scheme, width) for _, scheme, width in USUALLY]
    every = [(name, *look) for name in pages_in_navigation() for look in looks]
    for name, scheme, width in every if thorough() else USUALLY:
        page, _ = await opened(browser, width)
        await page.emulate_media(color_scheme=scheme)
        await page.goto(built(name).as_uri())
        assert await findings(page) == [], (name, scheme, width)
        await page.close()


async def test_the_search_works_in_a_page_opened_from_a_file(browser: Browser) -> None:
    page, wrong = await opened(browser, 1280)
    await page.goto(built("index.md").as_uri())
    await page.keyboard.press("Control+k")
    await page.keyboard.type("lock timeout")
    result = page.get_by_role("option", name="A script for a database administrator")
    await result.click()
    await page.wait_for_url("**/migrations.html*")
    assert page.url.startswith(built("migrations.md").as_uri())
    assert "lock+timeout" in page.url
    assert wrong == []
    await page.close()
