"""Identify the person behind a request, and admit only people who may sign in."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
from piccolo.apps.user.tables import BaseUser
from piccolo.columns import ForeignKey
from piccolo.columns.combination import Where
from piccolo.table import Table
from piccolo_api.session_auth.middleware import SessionsAuthBackend
from piccolo_api.shared.auth import User
from starlette.authentication import AuthenticationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from partman.errors import PartmanError, SettingsError
from partman.serve.pages import render
from partman.serve.people.account_base import AccountBase
from partman.serve.people.accounts import (
    COOKIE,
    PROLONGED,
    Account,
    Session,
    account_table,
    session_table,
)
from partman.serve.people.tenants import Choice, Tenants
from partman.serve.refusals import is_for_programs
from partman.tenant import TenantId

BY_ITSELF = "X-By-Itself"
"""The header of requests that a page sends by itself, which do not prolong the session."""


@dataclass(frozen=True)
class Person:
    """The person who has signed in."""

    name: str
    """The e-mail address."""
    operator: bool
    """Whether the person is a platform operator; otherwise the admin of a tenant."""
    tenant_id: TenantId | None
    """The admin's own tenant, or the one that the operator has chosen."""
    tenant: str | None
    """The tenant's name; None also if it is not active, because its rows are not shown."""


@dataclass(frozen=True)
class Authentication:
    """Identifies people and the tenant whose rows they see. Created by authentication_of()."""

    accounts: type[Account]
    sessions: type[Session]
    tenants: Tenants
    own: ForeignKey[Any]
    """The column of the accounts with the tenant that an admin belongs to."""
    chosen: ForeignKey[Any]
    """The column of the app's session table with the tenant that an operator has chosen."""

    async def user(self, request: HTTPConnection) -> User | None:
        """Return the account; None without a sign-in, or if the account may no longer sign in."""
        backend = SessionsAuthBackend(
            auth_table=self.accounts,
            session_table=self.sessions,
            cookie_name=COOKIE,
            # A page that asks by itself again and again is not used by a person.
            increase_expiry=None if BY_ITSELF in request.headers else PROLONGED,
        )
        try:
            found = await backend.authenticate(request)
        except AuthenticationError:
            return None
        return found[1] if found else None

    async def recognize(self, request: Request) -> None:
        """Pass the person to a page that anybody may see, if it can be known who it is."""
        if COOKIE not in request.cookies or hasattr(request.state, "account"):
            return
        with suppress(PartmanError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if user := await self.user(request):
                request.state.account = await self.person(user.user, request)
                request.state.tenants = self.tenants

    async def person(self, account: BaseUser, request: HTTPConnection) -> Person:
        """Return the person, with the tenant whose rows are shown."""
        tenant_id = await self.tenant_of(account, request)
        return Person(
            name=account.username,
            operator=account.superuser,
            tenant_id=tenant_id,
            tenant=None if tenant_id is None else await self.tenants.name(tenant_id),
        )

    async def tenant_of(self, account: BaseUser, request: HTTPConnection) -> TenantId | None:
        """Return the ID of the request's tenant; None if an operator has chosen none."""
        if not account.superuser:
            own: TenantId = getattr(account, self.own._meta.name)
            return own
        table = self.chosen._meta.table
        row = (
            await table.select(self.chosen.as_alias("id")).where(self._is_session(request)).first()
        )
        return row["id"] if row else None

    async def tenants_with_accounts(self, most: int) -> tuple[list[Choice], bool]:
        """Return the active tenants that have an account, by name, and whether there are more.

        Where the service may not list all tenants, it knows these from its own accounts.
        """
        accounts = self.own._meta.table
        some = accounts.select(self.own.as_alias("id")).where(self.own.is_not_null())
        rows = await some.distinct().limit(most + 1)
        named = [(row["id"], await self.tenants.name(row["id"])) for row in rows[:most]]
        choices = [Choice(str(each), name) for each, name in named if name is not None]
        return sorted(choices, key=lambda each: each.name.lower()), len(rows) > most

    async def choose(self, request: HTTPConnection, tenant_id: TenantId | None) -> None:
        """Store the tenant that an operator has chosen in the session."""
        table = self.chosen._meta.table
        await table.update({self.chosen: tenant_id}).where(self._is_session(request))

    def _is_session(self, request: HTTPConnection) -> Where:
        token = self.chosen._meta.table._meta.get_column_by_name("token")
        return token == self.sessions.keyed(request.cookies.get(COOKIE, ""))


def authentication_of(
    accounts: type[AccountBase], sessions: type[Table], tenants: Tenants, secret: bytes
) -> Authentication:
    """Return the authentication over an app's tables; ``secret`` is the key for session hashes.

    Raises SettingsError unless each of the two tables has one reference to the tenants.
    """
    limited = account_table(accounts)
    return Authentication(
        accounts=limited,
        sessions=session_table(sessions, limited, secret),
        tenants=tenants,
        own=_reference(accounts, tenants.table),
        chosen=_reference(sessions, tenants.table),
    )


def _reference(table: type[Table], to: type[Table]) -> ForeignKey[Any]:
    found = [
        column
        for column in table._meta.foreign_key_columns
        if column._foreign_key_meta.resolved_references is to  # noqa: SLF001
    ]
    if len(found) != 1:
        raise SettingsError(
            f"{table.__name__} has {len(found)} foreign keys to {to.__name__}, but the console "
            "needs exactly one, which says whose rows an account or a session may see. Nothing "
            "was started. Correct the table class, or the ConsoleConfig that names it."
        )
    return found[0]


class SignedIn:
    """Admits people who have signed in, and passes the person to the application."""

    def __init__(
        self, app: ASGIApp, authentication: Authentication, *, operators_only: bool = False
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._operators_only = operators_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        user = await self._authentication.user(request)
        if user is None:
            await _sign_in_first(request)(scope, receive, send)
            return
        person = await self._authentication.person(user.user, request)
        scope["user"] = user  # where Piccolo's endpoints look
        state = scope.setdefault("state", {})
        state["account"], state["tenants"] = person, self._authentication.tenants
        refused = self._operators_only and not person.operator
        app = _operators_only(request) if refused else self._app
        await app(scope, receive, send)


def _operators_only(request: Request) -> Response:
    if is_for_programs(request.url.path):
        return JSONResponse({"error": "Only platform operators may see this."}, 403)
    return render(request, "refused.html", status_code=403)


def _sign_in_first(request: Request) -> Response:
    if is_for_programs(request.url.path):
        return JSONResponse({"error": "Sign in first."}, 401)
    return RedirectResponse("/sign-in", 303)
