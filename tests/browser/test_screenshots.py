"""The pictures in the documents. They are taken anew by ``make screenshots``."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.console import open_row, open_table, signed_in
from tests.browser.projects import ProjectServing, ProjectSite, serving_for_pictures
from tests.browser.pull_request import comment
from tests.browser.site import ADMIN, OPERATOR
from tests.browser.watching import DESKTOP, PHONE, Visitors
from tests.support import ROOT

IMAGES = ROOT / "docs" / "images"
LARGEST = 150_000
"""Bytes of a picture."""

STEADY = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    texts.currentNode.data = texts.currentNode.data.replace(/[\\d.]+ ms without/, "0.4 ms without");
  }
}"""
"""How long a statement took is another time each time."""


@pytest.fixture
def project_serving() -> ProjectServing:
    """Rows, runs and the clock are always the same."""
    return serving_for_pictures


async def draw(page: Page, name: str, folder: Path) -> None:
    """Keep what is on the screen."""
    await page.evaluate(STEADY)
    picture = folder / f"{name}.png"
    await page.screenshot(path=picture, animations="disabled", caret="hide")
    assert picture.stat().st_size < LARGEST


async def test_they_can_be_taken(
    project_site: ProjectSite,
    project_visitors: Visitors,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    folder = IMAGES if pytestconfig.getoption("--screenshots", default=False) else tmp_path
    page = await project_visitors.new()
    await page.goto("/sign-in")
    await draw(page, "sign-in", folder)

    await signed_in(page, ADMIN)
    await open_table(page, "partners")
    await draw(page, "console-list", folder)
    sql = "SELECT id FROM partners WHERE name = 'DataDog' ORDER BY id LIMIT 1"
    await open_row(page, "partners", (await project_site.site.row(sql))["id"])
    await draw(page, "console-edit", folder)

    operator = await project_visitors.new()
    await signed_in(operator, OPERATOR)
    for kind in ("plan", "drift"):
        await operator.goto(f"/migrations/{kind}")
        await operator.get_by_role("main").get_by_role("button").click()
        await operator.get_by_role("article").first.wait_for()
        await draw(operator, kind, folder)
    await operator.goto("/migrations/diagram")
    await operator.set_viewport_size({"width": 1200, "height": 720})  # it is full of detail
    await draw(operator, "diagram", folder)
    for size, where in ((DESKTOP, ""), (PHONE, "-phone")):
        await operator.set_viewport_size({"width": size[0], "height": size[1]})
        for look in ("", "-dark"):
            await operator.emulate_media(color_scheme="dark" if look else "light")
            await operator.goto("/migrations")
            await draw(operator, f"migrations{where}{look}", folder)

    review = await project_visitors.new()
    planned = project_site.project.partman("plan", "--format", "markdown")
    assert planned.code == 0, planned.output
    await review.set_viewport_size({"width": 910, "height": 620})
    await review.set_content(comment(planned.stdout))
    await draw(review, "review", folder)
