"""Visitors whose pages and responses are checked."""

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, expect

from tests.browser.site import HASH, PASSWORD_HASH

PATIENCE = 60_000
"""Milliseconds after which a wait fails. Only to end a hang."""
expect.set_options(timeout=PATIENCE)

Scheme: TypeAlias = Literal["light", "dark"]

DESKTOP = (1280, 800)
PHONE = (390, 844)


@dataclass
class Visitors:
    """Opens separate browser contexts, and records what happens in each.

    Console errors, exceptions in pages, violations of the Content-Security-Policy, requests to
    other origins and password hashes in any response fail the test.
    """

    browser: Browser
    origin: str
    records: Path
    """The folder for recorded requests and responses."""
    wrong: list[str] = field(default_factory=list)
    _secrets: set[str] = field(default_factory=lambda: {HASH, PASSWORD_HASH})
    _expected: list[str] = field(default_factory=list)
    _elsewhere: set[str] = field(default_factory=set)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _count: int = 0

    async def new(
        self, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light", **options: Any
    ) -> Page:
        """Return a blank page of a new visitor."""
        self._count += 1
        context = await self.browser.new_context(
            base_url=self.origin,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            locale="en-US",
            timezone_id="UTC",
            reduced_motion="reduce",
            record_har_path=self.records / f"{self._count}.har",
            record_har_content="embed",
            **options,
        )
        context.set_default_timeout(PATIENCE)
        context.on("console", self._heard)
        context.on(
            "weberror",
            lambda error: self.wrong.append(
                f"exception on {error.page and error.page.url}: {error.error}"
            ),
        )
        context.on("request", self._asked)
        self._stack.push_async_callback(context.close)
        return await context.new_page()

    def expect(self, error: str) -> None:
        """Expect a matching console error; fail if there is none."""
        self._expected.append(error)

    def expect_status(self, status: int | str) -> None:
        """Allow responses with this status, which a browser reports as errors."""
        self.expect(f"status (of|code) {status}")

    def never_seen(self, text: str) -> None:
        """Fail if any response contains the text."""
        self._secrets.add(text)

    def allow_origin(self, origin: str) -> None:
        """Allow requests to another origin, which the test provides."""
        self._elsewhere.add(origin)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(
                f"{message.type} on {message.page and message.page.url}: {message.text}"
            )

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in {"data", "blob"} and origin not in {self.origin, *self._elsewhere}:
            self.wrong.append(f"request to {request.url}")

    async def close(self) -> None:
        """Close all contexts, and fail if anything was wrong."""
        await self._stack.aclose()
        for expected in self._expected:
            matching = [each for each in self.wrong if re.search(expected, each)]
            assert matching, f"there was no {expected}, but {self.wrong}"
            self.wrong = [each for each in self.wrong if each not in matching]
        assert not self.wrong, self.wrong
        answers = [body for record in self.records.glob("*.har") for body in _bodies(record)]
        assert answers, "nothing was looked at"
        leaks = [body for body in answers if any(secret in body for secret in self._secrets)]
        assert not leaks, leaks


@asynccontextmanager
async def visitors_of(browser: Browser, origin: str, records: Path) -> AsyncIterator[Visitors]:
    """Provide visitors for the duration of a block, and check their records at its end."""
    visitors = Visitors(browser, origin, records)
    try:
        yield visitors
    except BaseException:
        await visitors._stack.aclose()
        raise
    await visitors.close()


def _bodies(record: Path) -> list[str]:
    """Return all recorded responses: headers and bodies."""
    found = []
    for entry in json.loads(record.read_text())["log"]["entries"]:
        answer = entry["response"]
        content = answer["content"]
        text = content.get("text", "")
        if content.get("encoding") == "base64":
            text = base64.b64decode(text).decode(errors="replace")
        found.append(f"{entry['request']['url']} {answer['headers']} {text}")
    return found
