"""axe-core finds nothing on any page, in light and in dark, on a desk and on a phone."""

import asyncio
from typing import TypeAlias

import pytest
from playwright.async_api import Page, expect

from tests.browser.accessibility import findings
from tests.browser.console import open_row, sign_in, signed_in
from tests.browser.projects import ProjectServing, ProjectSite, serving_project_fast
from tests.browser.site import ADMIN, OPERATOR, Site
from tests.browser.watching import DESKTOP, PHONE, Scheme, Visitors
from tests.project import Project
from tests.summary import thorough

Look: TypeAlias = tuple[tuple[int, int], Scheme]

WALKED: Look = (PHONE, "dark")
"""In which all is clicked: the other tests do that on a desk, in the light."""
LOOKS: list[Look] = [(DESKTOP, "light"), WALKED]
if thorough():
    LOOKS = [(DESKTOP, "dark"), (PHONE, "light"), *LOOKS]

COME_TO_REST = """Promise.all(document.getAnimations()
  .filter(each => each.effect.getComputedTiming().endTime !== Infinity)
  .map(each => each.finished.catch(() => null)))"""
"""A colour on its way to another one has too little contrast."""

OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"

TOO_WIDE = """() => {
  const scrolls = (element) => element.closest("svg") || element.closest(".hidden")
    || ["auto", "scroll"].includes(getComputedStyle(element).overflowX)
    || (element.parentElement && scrolls(element.parentElement));
  const wide = [...document.body.querySelectorAll("*")]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !scrolls(each));
  if (document.documentElement.scrollWidth > innerWidth) wide.push(document.documentElement);
  return wide.map(each => each.outerHTML.slice(0, 120));
}"""
"""What is wider than the screen, and not in a box of its own that scrolls."""


BROKEN = """() => {
  const broken = [], range = document.createRange();
  for (const cell of document.querySelectorAll(".scrolls :is(td, th)")) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      for (const word of texts.currentNode.data.matchAll(/[A-Za-z]+/g)) {
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        if (range.getClientRects().length > 1) broken.push(word[0]);
      }
    }
  }
  return broken;
}"""
"""Words of a table that are on two lines."""


@pytest.fixture
def project_serving() -> ProjectServing:
    """Reports are made in little time."""
    return serving_project_fast


class Looked:
    """Looks at a page in each of LOOKS, as it is, and keeps what was found."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[str] = []

    async def at(self, what: str, *, fits: bool = False) -> None:
        """Look; ``fits`` says that the page may not be wider than the screen."""
        for size, scheme in LOOKS:
            await self._take(size, scheme)
            where = f"{what}, {size[0]} pixels wide, {scheme}"
            if fits:
                await self.page.evaluate(OPEN_ALL)
                wide = await self.page.evaluate(TOO_WIDE)
                self.found += [f"{where}: is wider than the screen: {each}" for each in wide]
                broken = await self.page.evaluate(BROKEN)
                self.found += [f"{where}: is on two lines: {each}" for each in broken]
            found = await findings(self.page)
            self.found += [f"{where}: {each}" for each in found]
        assert LOOKS[-1] == WALKED

    async def _take(self, size: tuple[int, int], scheme: Scheme) -> None:
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})
        await self.page.emulate_media(color_scheme=scheme)
        await self.page.evaluate(COME_TO_REST)


async def test_the_services_own_pages(
    project_site: ProjectSite, project_visitors: Visitors
) -> None:
    page = await project_visitors.new(*WALKED)
    looked = Looked(page)
    project_visitors.expect("status of (401|404|403)")

    await page.goto("/sign-in")
    await looked.at("sign in")
    await sign_in(page, f"{'a' * 88}@example.com", "wrong")
    await looked.at("a wrong password", fits=True)
    await sign_in(page, OPERATOR)
    for path in ("/organization", "/password", "/nowhere"):
        await page.goto(path)
        await looked.at(path, fits=True)
    await page.goto("/organization")
    await page.get_by_label("Subdomain").fill("nobodys")
    await page.get_by_role("button", name="Choose").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await looked.at("no such organization")

    await page.get_by_role("button", name="Sign out").click()
    await sign_in(page, ADMIN)
    await page.goto("/migrations")
    await looked.at("not for you")
    assert not looked.found, "\n".join(looked.found)


async def test_the_pages_about_migrations(
    project_site: ProjectSite, project_visitors: Visitors
) -> None:
    page = await project_visitors.new(*WALKED)
    looked = Looked(page)
    project_visitors.expect("status of 503")

    await signed_in(page, OPERATOR)
    await looked_at_pending(looked, project_site.project)
    await asyncio.to_thread(project_site.show_every_state, longest_names=True)
    for path in ("/migrations", "/migrations/diagram"):
        await page.goto(path)
        await looked.at(path, fits=True)
    for kind in ("plan", "drift"):
        await page.goto(f"/migrations/{kind}")
        await looked.at(f"no {kind}")
        await page.get_by_role("main").get_by_role("button").click()
        await page.get_by_role("article").first.wait_for()
        await looked.at(kind, fits=True)
    assert not looked.found, "\n".join(looked.found)


async def looked_at_pending(looked: Looked, project: Project) -> None:
    """Look at a migration that is pending, and at one whose file cannot be read."""
    file = project.write("2026-12-01", ["SELECT 1"])
    await looked.page.goto("/migrations")
    await expect(looked.page.locator("#verdict")).to_have_text("Pending")
    await looked.at("pending", fits=True)
    file.write_text("no Python (")
    await looked.page.reload()
    await expect(looked.page.get_by_role("heading")).to_have_text("The migrations cannot be read")
    await looked.at("a file that cannot be read", fits=True)
    file.unlink()


async def test_the_console(site: Site, visitors: Visitors) -> None:
    page = await visitors.new(*WALKED)
    looked = Looked(page)
    visitors.expect_status("4..")
    await signed_in(page, ADMIN)
    sql = "SELECT id FROM partners WHERE name = 'DataDog' LIMIT 1"
    partner = await site.value(sql)
    for path in (
        "",
        "opportunities/?stage=proposal&sort=-deal_value",
        "opportunities/?q=nobody",
        "alerts/",
        f"partners/row/{partner}",
        f"partners/delete/?row={partner}",
        "partners/row/1",
    ):
        await page.goto(f"/console/{path}")
        await looked.at(path, fits=True)
    await page.goto("/console/opportunities/new/")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await looked.at("a refusal", fits=True)
    await open_row(page, "partners", partner)
    await site.rows("UPDATE partners SET website = 'https://new.example'")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await looked.at("somebody else's change", fits=True)
    assert not looked.found, "\n".join(looked.found)
