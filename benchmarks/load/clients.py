"""Clients that call the application without a network, and check each answer."""

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from benchmarks.load.data import PASSWORD

_STAGES = ("", "proposal", "negotiation", "closed_won")
_CHECKED = ("name", "customer_name")
"""The texts of an answer that begin with the organization's subdomain."""


@dataclass
class Outcome:
    """What the clients have seen."""

    seconds: float = 0
    cpu: float = 0
    """CPU seconds of this process: of the application and of the clients."""
    answered: int = 0
    cancelled: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Answers with another status than the expected, and exceptions."""
    foreign: list[str] = field(default_factory=list)
    """Texts of another organization."""
    latencies: list[float] = field(default_factory=list)
    """Seconds, of the answered requests."""
    reported: set[str] = field(default_factory=set)
    """Names of the partners whose storing was reported."""

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latencies, in seconds."""
        return sorted(self.latencies)[
            min(len(self.latencies) - 1, len(self.latencies) * percent // 100)
        ]


@dataclass(frozen=True)
class Load:
    """How hard the clients work."""

    clients: int
    cancel: float = 0
    """The share of requests that are cancelled at a random moment."""
    goes_on: Callable[[], bool] = lambda: True


async def run_clients(app: Any, partners: Mapping[str, UUID], load: Load) -> Outcome:
    """Let all clients work at once, each as a user of one organization."""
    outcome, organizations = Outcome(), sorted(partners)
    started, used = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(load.clients):
            own = organizations[number % len(organizations)]
            other = partners[organizations[(number + 1) % len(organizations)]]
            client = _Client(app, own, partners[own], other, load, outcome, number)
            group.create_task(client.work())
    outcome.seconds = time.perf_counter() - started
    outcome.cpu = time.process_time() - used
    return outcome


class _Client:
    def __init__(
        self,
        app: Any,
        subdomain: str,
        partner: UUID,
        of_other: UUID,
        load: Load,
        outcome: Outcome,
        number: int,
    ) -> None:
        self._app = app
        self._subdomain = subdomain
        self._partner = partner
        self._of_other = of_other
        self._load = load
        self._outcome = outcome
        self._chance = random.Random(number)  # noqa: S311 -- the same work in each run
        self._headers = {"host": f"{subdomain}.localhost", "content-type": "application/json"}
        self._after = ""

    async def work(self) -> None:
        given = {"email": f"{self._subdomain}@example.com", "password": PASSWORD}
        token = (await self._ask("POST", "/sign-in", given))["token"]
        self._headers["authorization"] = f"Bearer {token}"
        while self._load.goes_on():
            await self._something()

    async def _something(self) -> None:
        kinds, weights = zip(*_SHARES, strict=True)
        [request] = self._chance.choices(kinds, weights)
        await request(self)

    async def add(self) -> None:
        name = self._new_name()
        if await self._ask("POST", "/partners", _partner(name), expected=201) is not None:
            self._outcome.reported.add(name)

    async def import_some(self) -> None:
        names = [self._new_name() for _ in range(10)]
        rows = [_partner(name) for name in names]
        if await self._ask("POST", "/partners/import", rows, expected=201) is not None:
            self._outcome.reported |= set(names)

    async def change(self) -> None:
        health = {"relationship_health": self._chance.randrange(101)}
        await self._ask("PATCH", f"/partners/{self._partner}", health)

    async def look_at_other(self) -> None:
        await self._ask("GET", f"/partners/{self._of_other}", expected=404)

    async def look(self) -> None:
        await self._ask("GET", f"/partners/{self._partner}")

    async def list(self) -> None:
        await self._ask("GET", f"/partners?limit=50&after={self._partner}")

    async def report(self) -> None:
        await self._ask("GET", "/reports/2026/1")

    async def search(self) -> None:
        query = {
            "stage": self._chance.choice(_STAGES),
            "customer": self._chance.choice(("", f"{self._subdomain}: c")),
            "after": self._after,
        }
        given = urlencode({name: value for name, value in query.items() if value})
        page = await self._ask("GET", f"/opportunities?{given}")
        self._after = (page and page["next"]) or ""

    async def _ask(self, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
        """Send a request; return the checked answer, or None if there is none to use."""
        begun = time.perf_counter()
        call = asyncio.create_task(self._call(method, path, body))
        if self._chance.random() < self._load.cancel and path != "/sign-in":
            asyncio.get_running_loop().call_later(self._chance.random() ** 3, call.cancel)
        await asyncio.wait([call])
        if call.cancelled():
            self._outcome.cancelled += 1
            return None
        if error := call.exception():
            self._outcome.errors[f"{method} {path.partition('?')[0]}: {error!r}"] += 1
            return None
        status, text = call.result()
        self._outcome.answered += 1
        self._outcome.latencies.append(time.perf_counter() - begun)
        if status != expected:
            self._outcome.errors[f"{method} {path.partition('?')[0]}: {status} {text}"] += 1
            return None
        answer = json.loads(text)
        self._outcome.foreign += [
            said for said in _texts(answer) if not said.startswith(f"{self._subdomain}:")
        ]
        return answer

    async def _call(self, method: str, path: str, body: Any) -> tuple[int, str]:
        """Call the application as a server does."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in self._headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        encoded = b"" if body is None else json.dumps(body).encode()
        messages = iter([{"type": "http.request", "body": encoded, "more_body": False}])
        answered, status, parts = asyncio.Event(), 0, list[bytes]()

        async def receive() -> Mapping[str, Any]:
            if (message := next(messages, None)) is not None:
                return message
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    answered.set()

        await self._app(scope, receive, send)
        return status, b"".join(parts).decode()

    def _new_name(self) -> str:
        return f"{self._subdomain}: {uuid.uuid4()}"


_SHARES = (
    (_Client.add, 10),
    (_Client.import_some, 5),
    (_Client.change, 5),
    (_Client.look_at_other, 5),
    (_Client.report, 10),
    (_Client.look, 15),
    (_Client.list, 20),
    (_Client.search, 30),
)
"""The kinds of requests, and their percentages."""


def _partner(name: str) -> dict[str, str]:
    return {"name": name, "domain": "example.com"}


def _texts(answer: Any) -> list[str]:
    if isinstance(answer, list):
        return [text for each in answer for text in _texts(each)]
    if not isinstance(answer, dict):
        return []
    own = [value for name, value in answer.items() if name in _CHECKED]
    return own + [text for value in answer.values() for text in _texts(value)]
