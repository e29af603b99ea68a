"""Run axe-core on the current page."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page


async def findings(page: Page) -> list[str]:
    """Return the serious and critical findings, with a line for each element."""
    found = await Axe().run(page)
    return [
        f"{violation['impact']} {violation['id']}: {node['target']} {node['html'][:120]}"
        f" {[check['message'] for check in node['any'] + node['all'] + node['none']][:1]}"
        for violation in found.response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
