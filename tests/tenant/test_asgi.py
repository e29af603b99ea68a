"""partman.asgi in front of FastAPI: the tenant of a request, and what its response promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

from partman.asgi import (
    TenantMiddleware,
    by_subdomain,
    in_tenant,
    tenant_of,
    with_pool,
)
from partman.asgi.types import Message
from partman.engine import PartmanEngine
from partman.errors import (
    TenantOverError,
    TenantRolledBackError,
)
from partman.tables import Partner, organization_for_subdomain
from partman.tenant import TenantId, tenant
from tests.tenant.asgi_application import (
    A_REQUEST,
    FIRST,
    SECOND,
    client,
    exchanged,
    names,
    rename,
    served,
)
from tests.tenants import Tenants, none_in_transaction


class TestCommits:
    async def test_before_the_response_begins(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        app = served(FastAPI())
        app.get("/")(rename)
        saved: list[list[str]] = []

        async def send(message: Message) -> None:
            saved.append(await tenants.partners())

        async def receive() -> Message:
            return {"type": "http.request"}

        await app({**A_REQUEST, "query_string": b""}, receive, send)
        assert saved == [["changed", SECOND]] * 2

    async def test_nothing_of_a_request_that_fails(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def refuse() -> None:
            await rename()
            raise HTTPException(409)

        async def fail() -> None:
            await rename()
            raise ZeroDivisionError

        app = served(FastAPI())
        app.get("/refuse")(refuse)
        app.get("/fail")(fail)
        async with client(app) as http:
            assert (await http.get("/refuse")).status_code == 409
            with pytest.raises(ZeroDivisionError):
                await http.get("/fail")
        assert await tenants.partners() == [FIRST, SECOND]

    async def test_what_a_refusal_may_save(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def refuse() -> None:
            await rename()
            raise HTTPException(401)

        app = served(FastAPI(), undone_from=500)
        app.get("/")(refuse)
        async with client(app) as http:
            assert (await http.get("/")).status_code == 401
        assert await tenants.partners() == ["changed", SECOND]

    async def test_or_reports_no_success(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def swallow() -> str:
            try:
                await Partner.raw("SELECT 1 / 0")
            except asyncpg.DivisionByZeroError:
                return "all is well"
            raise AssertionError

        app = served(FastAPI())
        app.get("/")(swallow)
        async with client(app) as http:
            with pytest.raises(TenantRolledBackError):
                await http.get("/")

    async def test_with_another_middleware_and_a_block_of_the_handlers(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def handler(request: Request) -> list[str]:
            async with tenant(tenant_of(request.scope)):
                await rename()
            return await names()

        async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

        app = FastAPI()
        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
        app.get("/")(handler)
        async with client(served(app)) as http:
            assert (await http.get("/")).json() == ["changed"]
        assert await tenants.partners() == ["changed", SECOND]

    async def test_nothing_where_the_application_does_not_answer(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def silent(*_: object) -> None:
            await rename()

        app = TenantMiddleware(silent, by_subdomain(organization_for_subdomain, "x.test"))
        assert await exchanged(app, A_REQUEST) == []
        assert await tenants.partners() == [FIRST, SECOND]


class TestHoldsNoConnection:
    async def test_while_a_request_arrives(self, tenants: Tenants, engine: PartmanEngine) -> None:
        app = served(FastAPI())
        app.post("/")(names)
        sent: list[Message] = []
        parts = iter([b"[", b"]"])

        async def receive() -> Message:
            assert await none_in_transaction(tenants)
            return {
                "type": "http.request",
                "body": (part := next(parts)),
                "more_body": part == b"[",
            }

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {**A_REQUEST, "method": "POST", "query_string": b""}
        await app(scope, receive, send)
        assert sent[0]["status"] == 200

    async def test_for_a_request_that_is_too_long(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        app = served(FastAPI(), largest_body=3)
        app.post("/")(names)
        async with client(app) as http:
            assert (await http.post("/", content=b"123")).status_code == 200
            assert (await http.post("/", content=b"1234")).status_code == 413

    async def test_while_a_body_is_streamed_whose_queries_need_blocks(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def forgotten() -> AsyncIterator[str]:
            yield ", ".join(await names())

        async def own(organization: TenantId) -> AsyncIterator[str]:
            for _ in range(2):
                assert await none_in_transaction(tenants)
                async with tenant(organization):
                    found = await names()
                yield f"{found}\n"

        app = served(FastAPI())
        app.get("/forgotten")(lambda: StreamingResponse(forgotten()))

        async def streamed(request: Request) -> StreamingResponse:
            await rename()
            return StreamingResponse(own(tenant_of(request.scope)))

        app.get("/own")(streamed)
        async with client(app) as http:
            assert (await http.get("/own")).text == "['changed']\n" * 2
            with pytest.raises(TenantOverError):
                await http.get("/forgotten")

    async def test_in_background_tasks_which_need_blocks_of_their_own(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def handler(tasks: BackgroundTasks, forget: bool) -> None:
            tasks.add_task(rename if forget else in_tenant(rename))

        app = served(FastAPI())
        app.get("/")(handler)
        async with client(app) as http:
            assert (await http.get("/?forget=false")).status_code == 200
            assert await tenants.partners() == ["changed", SECOND]
            with pytest.raises(TenantOverError):
                await http.get("/?forget=true")

    async def test_more_when_the_request_is_cancelled(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        entered = asyncio.Event()

        async def stay() -> None:
            await rename()
            entered.set()
            await asyncio.Event().wait()

        app = served(FastAPI())
        app.get("/")(stay)
        request = asyncio.create_task(exchanged(app, {**A_REQUEST, "query_string": b""}))
        await entered.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await none_in_transaction(tenants)
        assert await tenants.partners() == [FIRST, SECOND]


async def test_a_full_pool_is_answered_with_503_and_the_request_that_holds_it_is_logged(
    tenants: Tenants, engine: PartmanEngine, caplog: pytest.LogCaptureFixture
) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        entered.set()
        await leave.wait()

    app = served(FastAPI())
    app.get("/stay")(stay)
    app.get("/")(names)
    async with client(app) as http:
        staying = asyncio.create_task(http.get("/stay"))
        await entered.wait()
        refused = await http.get("/")
        leave.set()
        assert (await staying).status_code == 200
        assert (await http.get("/")).json() == [FIRST]
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "held by GET /stay since" in caplog.text


class TestWebSocket:
    @pytest.fixture
    def app(self) -> FastAPI:
        async def converse(websocket: WebSocket) -> None:
            await websocket.accept()
            async for _ in websocket.iter_text():
                async with tenant(tenant_of(websocket.scope)):
                    await websocket.send_json(await names())

        app = served(FastAPI())
        app.websocket("/")(converse)
        return app

    async def messages(self, app: FastAPI, host: bytes) -> list[Message]:
        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "subprotocols": [],
            "headers": [(b"host", host)],
        }
        text = {"type": "websocket.receive", "text": "?"}
        received = [{"type": "websocket.connect"}, text, text]
        return await exchanged(
            app, scope, *received, {"type": "websocket.disconnect", "code": 1000}
        )

    async def test_has_a_block_for_each_message(
        self, tenants: Tenants, engine: PartmanEngine, app: FastAPI
    ) -> None:
        sent = await self.messages(app, b"second.x.test")
        assert [message.get("text") for message in sent] == [None, *[f'["{SECOND}"]'] * 2]

    async def test_of_an_unknown_tenant_is_closed(
        self, tenants: Tenants, engine: PartmanEngine, app: FastAPI
    ) -> None:
        assert await self.messages(app, b"nobody.x.test") == [
            {"type": "websocket.close", "code": 1008, "reason": ""}
        ]


async def test_the_lifespan_has_the_pool_around_the_applications_own(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    await engine.close_connection_pool()
    seen: list[object] = []

    @asynccontextmanager
    async def own(application: Any) -> AsyncIterator[dict[str, str]]:
        seen.append(engine.pool)
        yield {"shared": "state"}
        seen.append(engine.pool)

    for lifespan, state in ((own, {"shared": "state"}), (None, None)):
        async with AsyncExitStack() as stack:
            around = with_pool(lifespan, min_size=0, max_size=3)
            assert await stack.enter_async_context(around(FastAPI())) == state
            pool = engine.pool
            assert pool is not None
            assert pool.get_max_size() == 3
        assert engine.pool is None
        assert pool.is_closing()
    assert None not in seen
    assert len(seen) == 2
