"""Run axe-core on the current page."""

from axe_playwright_python.async_playwright import DEFAULT_OPTIONS
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

EVERY = frozenset({"minor", "moderate", "serious", "critical"})
"""The levels of findings; axe-core's best practices are among them."""


async def findings(page: Page, levels: frozenset[str] = EVERY) -> list[str]:
    """Return the findings of these levels, with a line for each element."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    response = await page.evaluate("options => axe.run(options)", DEFAULT_OPTIONS)
    return [
        f"{violation['impact']} {violation['id']}: {node['target']} {node['html'][:120]}"
        f" {[check['message'] for check in node['any'] + node['all'] + node['none']][:1]}"
        for violation in response["violations"]
        if violation["impact"] in levels
        for node in violation["nodes"]
    ]
