"""The middleware finds the tenant of a request, or answers without one."""

from uuid import UUID

import pytest
from fastapi import FastAPI, Request

from partman.asgi import (
    by_header,
    by_token,
    tenant_of,
)
from partman.asgi.types import Scope
from partman.engine import PartmanEngine
from partman.errors import (
    TenancyError,
)
from partman.tenant import current_tenant
from tests.tenant.asgi_application import FIRST, SECOND, client, names, served
from tests.tenants import Tenants


class TestFinds:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("first.x.test", [FIRST]),
            ("SECOND.x.test:8000", [SECOND]),
            ("x.test", None),
            (".x.test", None),
            ("nobody.x.test", None),
            ("www.first.x.test", None),
            ("first.evil.test", None),
            ("firstx.test", None),
        ],
    )
    async def test_the_tenant_by_the_subdomain(
        self, tenants: Tenants, engine: PartmanEngine, host: str, expected: list[str] | None
    ) -> None:
        app = served(FastAPI())
        app.get("/")(names)
        async with client(app) as http:
            response = await http.get("/", headers={"Host": host})
        assert (response.status_code, response.json()) == (
            (200, expected) if expected else (404, {"detail": "Not found."})
        )

    async def test_the_tenant_by_a_header_or_a_token(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def lookup(text: str) -> UUID | None:
            return {"one": tenants.first, "two": tenants.second}.get(text)

        for find, asked, unknown in (
            (by_header(lookup, "X-Tenant"), {"x-tenant": "two"}, 404),
            (by_token(lookup), {"authorization": "bearer two"}, 401),
        ):
            app = served(FastAPI(), find=find)
            app.get("/")(names)
            async with client(app) as http:
                assert (await http.get("/", headers=asked)).json() == [SECOND]
                assert (await http.get("/")).status_code == unknown
                [name] = asked
                assert (await http.get("/", headers={name: "bearer x"})).status_code == unknown
                twice = [(name, "bearer one"), (name, "bearer two")]
                assert (await http.get("/", headers=twice)).status_code == unknown

    async def test_nothing_for_what_is_no_id(self, tenants: Tenants, engine: PartmanEngine) -> None:
        async def find(_: Scope) -> str:
            return "1; DROP TABLE partners"

        app = served(FastAPI(), find=find)
        app.get("/")(names)
        async with client(app) as http:
            assert (await http.get("/")).status_code == 404

    async def test_no_tenant_for_the_outside_paths(
        self, tenants: Tenants, engine: PartmanEngine
    ) -> None:
        async def outside(request: Request) -> str:
            with pytest.raises(TenancyError, match="outside paths"):
                tenant_of(request.scope)
            with pytest.raises(TenancyError, match="outside of tenant"):
                current_tenant()
            return "outside"

        app = served(FastAPI(), outside=["/health/"])
        for path in ("/health", "/health/ready", "/healthy"):
            app.get(path)(outside)
        async with client(app, "nobody.x.test") as http:
            answers = [await http.get(path) for path in ("/health", "/health/ready", "/healthy")]
        assert [answer.status_code for answer in answers] == [200, 200, 404]
