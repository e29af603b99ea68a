"""Find the tenant of a request: by its host name, by a header, or by a token."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from partman.asgi.types import Scope
from partman.tenant import TenantId

Lookup: TypeAlias = Callable[[str], Awaitable[TenantId | None]]
"""Returns the tenant that a text names, or None."""
Find: TypeAlias = Callable[[Scope], Awaitable[TenantId | None]]
"""Returns the tenant of a request, or None for an unknown one. Raises RefusedError."""


class RefusedError(Exception):
    """The answer to a request that is not served."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        """The HTTP status of the answer."""
        self.detail = detail
        """What its body says."""
        self.headers = dict(headers or {})


def by_subdomain(lookup: Lookup, domain: str) -> Find:
    """Find the tenant by the subdomain: ``acme`` of ``acme.example.com``.

    A host that is not one label below the domain has no tenant.
    """
    ending = "." + domain.lower().strip(".")

    async def find(scope: Scope) -> TenantId | None:
        host = _header(scope, "host").lower()
        name = host.partition(":")[0].removesuffix(".")
        subdomain = name.removesuffix(ending)
        if subdomain == name or not subdomain or "." in subdomain:
            return None
        return await lookup(subdomain)

    return find


def by_header(lookup: Lookup, name: str) -> Find:
    """Find the tenant by a header, which a proxy of yours sets: a client could name any tenant.

    A request without it has no tenant.
    """

    async def find(scope: Scope) -> TenantId | None:
        value = _header(scope, name)
        return await lookup(value) if value else None

    return find


def by_token(lookup: Lookup) -> Find:
    """Find the tenant by the token of ``Authorization: Bearer``.

    The answer is 401 where there is none, or ``lookup`` does not know it.
    """

    async def find(scope: Scope) -> TenantId | None:
        kind, _, token = _header(scope, "authorization").partition(" ")
        found = await lookup(token.strip()) if kind.lower() == "bearer" and token.strip() else None
        if found is None:
            raise RefusedError(401, "A valid token is needed.", {"WWW-Authenticate": "Bearer"})
        return found

    return find


def _header(scope: Scope, name: str) -> str:
    """Return a header's value; empty if it is not there, or is there twice."""
    wanted = name.lower().encode("latin-1")
    values = [value for key, value in scope["headers"] if key.lower() == wanted]
    return values[0].decode("latin-1").strip() if len(values) == 1 else ""
