"""Headless Chromium from Debian's packages.

The headless shell renders pages as Chromium does, and has no user interface of its own: it takes
half of the time.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
EXECUTABLE = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
MISSING = "tests/browser needs Chromium, and there is none: apt-get install chromium-headless-shell"

_FLAGS = (
    "--no-sandbox",  # root cannot use it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run it for the duration of a block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
