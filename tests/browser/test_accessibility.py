"""axe-core finds nothing on any page, in light and in dark, on a desk and on a phone."""

import asyncio
from typing import TypeAlias

from playwright.async_api import Page, expect

from tests.browser.accessibility import EVERY, findings
from tests.browser.console import (
    open_add,
    open_row,
    open_table,
    sign_in,
)
from tests.browser.projects import ProjectSite
from tests.browser.site import ADMIN, OPERATOR, Site
from tests.browser.watching import DESKTOP, PHONE, Scheme, Visitors
from tests.summary import thorough

Look: TypeAlias = tuple[tuple[int, int], Scheme]

WALKED: Look = (PHONE, "dark")
"""In which all is clicked: the other tests do that on a desk, in the light."""
LOOKS: list[Look] = [(DESKTOP, "light"), WALKED]
if thorough():
    LOOKS = [(DESKTOP, "dark"), (PHONE, "light"), *LOOKS]

SIDE_PANES = {
    "sort_button": "sort_by_selector",
    "filter_button": "submit_filter_button",
    "csv_button": "download_csv_button",
}
"""What opens a part of a list, and what is in that."""

SWITCH = """dark => {
  const admin = document.querySelector("#app");
  if (admin) admin.__vue_app__.config.globalProperties.$store.commit("updateDarkMode", dark);
}"""
"""What Piccolo Admin's own switch does; its colours are not those that the browser prefers."""

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


class Looked:
    """Looks at a page in each of LOOKS, as it is, and keeps what was found."""

    def __init__(self, page: Page, levels: frozenset[str] = EVERY) -> None:
        self.page = page
        self.levels = levels
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
            found = await findings(self.page, self.levels)
            self.found += [f"{where}: {each}" for each in found]
        assert LOOKS[-1] == WALKED

    async def _take(self, size: tuple[int, int], scheme: Scheme) -> None:
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})
        await self.page.emulate_media(color_scheme=scheme)
        await self.page.evaluate(SWITCH, scheme == "dark")
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
    await asyncio.to_thread(project_site.show_every_state, longest_names=True)
    for path in ("/migrations", "/migrations/diagram", "/organization", "/password", "/nowhere"):
        await page.goto(path)
        await looked.at(path, fits=True)
    for kind in ("plan", "drift"):
        await page.goto(f"/migrations/{kind}")
        await looked.at(f"no {kind}")
        await page.get_by_role("main").get_by_role("button").click()
        await page.get_by_role("article").first.wait_for()
        await looked.at(kind, fits=True)
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


async def test_piccolo_admin(site: Site, visitors: Visitors) -> None:
    page = await visitors.new(*WALKED)
    looked = Looked(page, frozenset({"serious", "critical"}))
    visitors.expect_status(422)
    await sign_in(page, ADMIN)
    await looked.at("home")

    await page.locator("#user").click()
    await looked.at("the user's menu")
    for choice in ("Set Timezone", "About Piccolo"):
        await page.get_by_text(choice).click()
        await page.locator(".modal:visible").wait_for()
        await looked.at(choice)
        await page.locator(".modal:visible").get_by_role("link", name="Close").click()
        await page.locator("#user").click()
    await page.keyboard.press("Escape")

    await open_table(page, "opportunities")
    await looked.at("a list")
    await page.locator(".table_wrapper tbody input[type=checkbox]").first.check()
    await looked.at("a chosen row")
    await page.locator("tbody a.subtle").last.click()
    await looked.at("a row's menu")
    for button, inside in SIDE_PANES.items():
        await page.reload()
        await page.locator(f"[data-uitest={button}]").click()
        await page.locator(f"[data-uitest={inside}]").first.wait_for()
        await looked.at(button)

    for table in ("alerts", "organizations", "partners", "quarterly_goals", "users"):
        await open_table(page, table)
        await looked.at(table)

    await open_table(page, "opportunities")
    await open_add(page, "opportunities")
    await looked.at("a form for a new row")
    await page.get_by_label("Partner Id").first.click()
    await page.locator(".modal:visible").wait_for()
    await looked.at("the window to choose a row")
    await page.locator(".modal:visible").get_by_role("link", name="Close").click()
    await page.get_by_role("button", name="Create").click()
    await page.locator(".errors, #errors, [class*=error]").first.wait_for()
    await looked.at("a refusal")

    row = await site.row("SELECT id FROM partners WHERE name = 'DataDog' LIMIT 1")
    await open_row(page, "partners", row["id"])
    await looked.at("a form with a row")
    await page.locator("[data-uitest=drop_down_button]").click()
    await page.get_by_text("Show referencing tables").click()
    await looked.at("what refers to a row")
    await page.get_by_label("domain", exact=True).fill("monitoring")
    await page.get_by_role("button", name="Save").click()
    await page.locator("#message_popup").wait_for()
    await looked.at("a message")
    assert not looked.found, "\n".join(looked.found)
