"""The migrations page, as a platform operator sees it in each state of a database."""

from typing import Any

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.console import cookie, path_of, sign_in
from tests.browser.projects import ProjectSite
from tests.browser.site import ADMIN, OPERATOR
from tests.browser.watching import Visitors
from tests.database.plan_sample import ONLINE

PATHS = ("", "/plan", "/drift", "/diagram", "/diagram.svg", ".json")


async def states(page: Page) -> dict[str, str]:
    """Where each migration of the test's own app stands."""
    rows = page.get_by_role("table", name="All migrations").locator("tbody tr")
    found = {}
    for row in await rows.all():
        name = await row.locator(".id").first.inner_text()
        if len(name) == len("2026-01-01"):
            found[name] = await row.locator(".badge").inner_text()
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def operator(project_page: Page) -> Page:
    await sign_in(project_page, OPERATOR)
    return project_page


async def test_applied_pending_and_failed(operator: Page, project_site: ProjectSite) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE TABLE one (id int)"])
    assert project.forwards().code == 0
    await operator.reload()
    ok = operator.get_by_text("The database is at the version that this code expects.")
    await expect(ok).to_be_visible()

    project.write("2026-12-02", ["SELECT 1 / 0"])
    project.write("2026-12-03", ["CREATE TABLE three (id int)"])
    assert project.forwards().code == 7
    await operator.reload()
    assert await states(operator) == {
        "2026-12-01": "applied",
        "2026-12-02": "failed",
        "2026-12-03": "pending",
    }
    await expect(operator.get_by_text("2 migrations pending.", exact=False).first).to_be_visible()
    await expect(operator.get_by_text("division by zero").first).to_be_visible()


async def test_interrupted(operator: Page, project_site: ProjectSite) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE TABLE one (id int)", "SELECT 1 / 0"], more=ONLINE)
    assert project.forwards().code == 7
    await operator.reload()
    assert await states(operator) == {"2026-12-01": "interrupted"}
    notice = operator.get_by_text("Finish it: piccolo migrations forwards extra 2026-12-01")
    await expect(notice).to_be_visible()


async def test_edited_and_ahead_of_the_code(operator: Page, project_site: ProjectSite) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE TABLE one (id int)"])
    project.write("2026-12-02", ["CREATE TABLE two (id int)"])
    assert project.forwards().code == 0
    project.write("2026-12-01", ["CREATE TABLE one (id bigint)"])
    project.file("2026-12-02").unlink()
    await operator.reload()
    assert await states(operator) == {"2026-12-01": "edited", "2026-12-02": "no file"}
    await expect(operator.get_by_text("1 unknown to this code")).to_be_visible()


async def test_a_plan_and_the_drift_are_made_by_a_click(
    operator: Page, project_site: ProjectSite
) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE INDEX i ON partners (website)"], ["DROP INDEX i"])
    await operator.get_by_role("link", name="Plan").click()
    await expect(operator.get_by_text("No report yet.")).to_be_visible()
    await operator.get_by_role("button", name="Make a plan").click()
    plan = operator.get_by_role("article")
    await expect(plan).to_contain_text("blocks writes")  # the page loads itself until it is there
    await expect(plan).to_contain_text("CREATE INDEX i ON partners (website)")

    await project_site.site.rows("ALTER TABLE partners ADD COLUMN drifted integer")
    await operator.get_by_role("link", name="Drift").click()
    await operator.get_by_role("button", name="Look for drift").click()
    await expect(operator.get_by_role("article")).to_contain_text("public.partners.drifted")
    await expect(operator.get_by_text("1 difference", exact=False)).to_be_visible()


async def test_the_diagram_shows_the_tables(operator: Page) -> None:
    await operator.get_by_role("link", name="Diagram").click()
    picture = operator.get_by_role("img", name="The tables and their references")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.naturalWidth") > 0
    await operator.get_by_text("quarterly_goals", exact=True).first.click()
    await expect(operator.get_by_text("the tenant of the row").first).to_be_attached()


async def test_it_is_not_for_an_admin(page: Page, visitors: Visitors) -> None:
    await sign_in(page, ADMIN)
    token = await cookie(page, "csrftoken")
    for path in PATHS:
        assert (await page.context.request.get(f"/migrations{path}")).status == 403
    asked: dict[str, Any] = {"csrftoken": token}
    for kind in ("plan", "drift"):
        refused = await page.context.request.post(f"/migrations/{kind}", form=asked)
        assert refused.status == 403
    visitors.expect_status(403)
    await page.goto("/migrations")
    await expect(page.get_by_role("heading", name="Operators only")).to_be_visible()


async def test_is_hidden_from_visitors_without_a_session(page: Page) -> None:
    for path in PATHS:
        answer = await page.context.request.get(f"/migrations{path}", max_redirects=0)
        assert answer.status in {303, 401}
    await page.goto("/migrations")
    assert path_of(page) == "/sign-in"
