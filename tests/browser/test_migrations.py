"""The migrations page, as a platform operator sees it in each state of a database."""

from typing import Any

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.console import cookie, path_of, signed_in
from tests.browser.projects import ProjectSite
from tests.browser.site import ADMIN, OPERATOR
from tests.browser.watching import Visitors
from tests.database.plan_sample import ONLINE

PATHS = ("", "/plan", "/drift", "/diagram", "/diagram.svg", ".json")


async def states(page: Page) -> dict[str, str]:
    """Where each migration of the test's own app stands, in the order of the page."""
    found: dict[str, str] = {}
    for each in await page.locator("[data-migration]").all():
        name = await each.get_attribute("data-migration") or ""
        if len(name) == len("2026-01-01"):
            found.setdefault(name, await each.locator(".badge").first.inner_text())
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def operator(project_page: Page) -> Page:
    await signed_in(project_page, OPERATOR)
    await project_page.goto("/migrations")
    return project_page


async def test_applied_pending_and_failed(operator: Page, project_site: ProjectSite) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE TABLE one (id int)"])
    assert project.forwards().code == 0
    verdict = operator.locator("#verdict")
    await operator.reload()
    await expect(verdict).to_have_text("Up to date")

    project.write("2026-12-02", ["SELECT 1 / 0"])
    project.write("2026-12-03", ["CREATE TABLE three (id int)"])
    assert project.forwards().code == 7
    await operator.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(verdict).to_have_text("Failed")  # the page looks again when it is seen again
    await expect(operator.get_by_role("status")).to_have_text("Failed")
    assert list((await states(operator)).items()) == [
        ("2026-12-02", "failed"),
        ("2026-12-03", "pending"),
        ("2026-12-01", "applied"),
    ]
    await expect(operator.get_by_text("division by zero").first).to_be_visible()

    events = operator.locator("#events .event")
    before = await events.count()
    await operator.get_by_label("Search the timeline").fill("division 2026-12")
    await expect(events).to_have_count(1)  # without a click, and without loading it anew
    await expect(operator.get_by_label("Search the timeline")).to_be_focused()
    assert operator.url.endswith("?q=division+2026-12")
    await operator.get_by_role("link", name="Show all").click()
    await expect(events).to_have_count(before)


async def test_interrupted(operator: Page, project_site: ProjectSite) -> None:
    project = project_site.project
    project.write("2026-12-01", ["CREATE TABLE one (id int)", "SELECT 1 / 0"], more=ONLINE)
    assert project.forwards().code == 7
    await operator.reload()
    assert await states(operator) == {"2026-12-01": "interrupted"}
    assert await operator.locator("#verdict").inner_text() == "Interrupted"
    todo = operator.get_by_role("article").filter(has_text="Finish it:").locator("pre.command")
    await expect(todo).to_have_text("piccolo migrations forwards extra 2026-12-01")


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
    await expect(operator.get_by_role("button", name="Download the SQL")).to_be_visible()

    await project_site.site.rows("ALTER TABLE partners ADD COLUMN drifted integer")
    await operator.get_by_role("link", name="Drift").click()
    await operator.get_by_role("button", name="Look for drift").click()
    await expect(operator.get_by_role("article")).to_contain_text("public.partners.drifted")
    await expect(operator.locator("#verdict")).to_have_text("1 difference")


async def test_the_diagram_shows_the_tables(operator: Page) -> None:
    await operator.get_by_role("link", name="Diagram").click()
    picture = operator.get_by_role("img", name="The tables and their references")
    await expect(picture).to_be_visible()
    whole = await picture.get_attribute("viewBox")
    await operator.get_by_role("button", name="Zoom in").click()
    zoomed = await picture.get_attribute("viewBox")
    await operator.get_by_role("region", name="Picture of the tables").focus()
    await operator.keyboard.press("ArrowRight")
    moved = await picture.get_attribute("viewBox")
    assert len({whole, zoomed, moved}) == 3
    await operator.keyboard.press("0")
    assert await picture.get_attribute("viewBox") == whole

    await operator.get_by_label("Find a table").fill("quarterly")
    goals = operator.locator("details:visible")
    await expect(goals).to_have_count(1)
    await expect(goals.get_by_text("the tenant of the row")).to_be_visible()
    await expect(operator.get_by_role("status").last).to_have_text("1 of 8 tables")
    await expect(picture.locator("g.found[data-table]")).to_have_count(1)
    await expect(picture.locator("g.reference.found")).not_to_have_count(0)
    await operator.keyboard.press("Enter")
    assert await picture.get_attribute("viewBox") != whole
    await operator.get_by_label("Find a table").fill("zebra")
    await expect(operator.get_by_text("No table has this in its name.")).to_be_visible()
    users = picture.locator("[data-table=users] .head")
    await operator.get_by_role("button", name="Show all").click()
    await users.click()
    await expect(operator.get_by_label("Find a table")).to_have_value("users")


async def test_it_is_hidden_without_a_session_and_not_for_an_admin(
    page: Page, visitors: Visitors
) -> None:
    for path in PATHS:
        answer = await page.context.request.get(f"/migrations{path}", max_redirects=0)
        assert answer.status in {303, 401}
    await page.goto("/migrations")
    assert path_of(page) == "/sign-in"

    await signed_in(page, ADMIN)
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
