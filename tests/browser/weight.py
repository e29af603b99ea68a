"""What a page costs its reader: bytes, requests, and the time until something is seen."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import CDPSession, Page

from tests.browser.watching import PATIENCE

_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@dataclass(frozen=True)
class Weight:
    """One load of a page, with an empty cache."""

    bytes: int
    """Of all answers, with their headers, as they are on the network."""
    requests: int
    painted: float
    """Milliseconds from the request to the first paint of any content."""
    hosts: frozenset[str]


class Scale:
    """Weighs pages. It listens to the browser's network, and turns the cache off."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._bytes = 0
        self._asked: list[str] = []
        self._done = 0
        self._loaded_one = asyncio.Event()

    async def begin(self) -> None:
        """Start to listen."""
        session: CDPSession = await self._page.context.new_cdp_session(self._page)
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.loadingFinished", self._loaded)
        await session.send("Network.enable")
        await session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    async def weigh(self, path: str) -> Weight:
        """Load a page."""
        self._bytes, self._asked, self._done = 0, [], 0
        await self._page.goto(path)
        painted = await (await self._page.wait_for_function(_PAINTED)).json_value()
        async with asyncio.timeout(PATIENCE / 1000):
            while self._done < len(self._asked):
                self._loaded_one.clear()
                await self._loaded_one.wait()
        hosts = frozenset(urlsplit(url).netloc for url in self._asked)
        return Weight(self._bytes, len(self._asked), painted, hosts)

    def _sent(self, event: dict[str, Any]) -> None:
        if not event["request"]["url"].startswith("data:"):
            self._asked.append(event["request"]["url"])

    def _loaded(self, event: dict[str, Any]) -> None:
        self._bytes += int(event["encodedDataLength"])
        self._done += 1
        self._loaded_one.set()
