"""The example application, called without a network, on a test's database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import bcrypt
import httpx
import pytest

from docs.example.app import app
from partman.tables import Organization, User
from partman.tables.user import Role
from partman.testing import Factory
from tests.plugin.conftest import partman_template

__all__ = ["partman_template"]

PASSWORD = "correct horse"
SignIn = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTMAN_SECRET", "a secret of the tests, with 32 characters")


@pytest.fixture
async def acme(make: Factory) -> Organization:
    return await make(Organization, subdomain="acme")


@pytest.fixture
async def client(acme: Organization) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody has signed in."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://acme.localhost") as client:
        yield client


@pytest.fixture
async def sign_in(make: Factory, client: httpx.AsyncClient, acme: Organization) -> SignIn:
    """Sign in as a new user of acme."""

    async def sign_in(role: Role = Role.SALES_REP, **values: Any) -> httpx.AsyncClient:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        user = await make(User, organization=acme, role=role, password_hash=hashed, **values)
        answer = await client.post("/sign-in", json={"email": user.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    return sign_in
