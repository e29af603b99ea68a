"""Run axe-core on the current page."""

from axe_playwright_python.async_playwright import DEFAULT_OPTIONS
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page


async def findings(page: Page) -> list[str]:
    """Return the findings of every level, best practices too, with a line for each element."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    # By default it loads all styles once more, for a rule that is experimental and is not run.
    preloading = {"preload": {"assets": ["media"]}}
    run = "options => axe.run(options).then(results => results.violations)"
    return [
        f"{violation['impact']} {violation['id']}: {node['target']} {node['html'][:120]}"
        f" {[check['message'] for check in node['any'] + node['all'] + node['none']][:1]}"
        for violation in await page.evaluate(run, DEFAULT_OPTIONS | preloading)
        for node in violation["nodes"]
    ]
