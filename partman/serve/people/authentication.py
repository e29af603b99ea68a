"""Who is asking; and past this, only who may."""

from dataclasses import dataclass
from uuid import UUID

from piccolo.apps.user.tables import BaseUser
from piccolo_api.session_auth.middleware import SessionsAuthBackend
from piccolo_api.shared.auth import User
from starlette.authentication import AuthenticationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from partman.serve.pages import render
from partman.serve.people.accounts import COOKIE, PROLONGED, Account, Session
from partman.tables import Organization
from partman.tables.console_accounts import ConsoleSession
from partman.tenant import tenant


@dataclass(frozen=True)
class Person:
    """Who has signed in."""

    name: str
    """The e-mail address."""
    operator: bool
    """Whether it is a platform operator, and no organization's admin."""
    organization_id: UUID | None
    """An admin's own, or what an operator has chosen."""
    organization: str | None
    """Its name; None if it is deactivated, too: its rows are not shown."""


@dataclass(frozen=True)
class Authentication:
    """The tables with which somebody is told from somebody else."""

    accounts: type[Account]
    sessions: type[Session]

    async def user(self, request: HTTPConnection) -> User | None:
        """Return who is asking; None if nobody has signed in, or may no longer."""
        backend = SessionsAuthBackend(
            auth_table=self.accounts,
            session_table=self.sessions,
            cookie_name=COOKIE,
            increase_expiry=PROLONGED,
        )
        try:
            found = await backend.authenticate(request)
        except AuthenticationError:
            return None
        return found[1] if found else None

    async def person(self, account: BaseUser, request: HTTPConnection) -> Person:
        """Return who that is, and whose rows are shown."""
        organization_id = await self.organization_of(account, request)
        return Person(
            name=account.username,
            operator=account.superuser,
            organization_id=organization_id,
            organization=await _name(organization_id),
        )

    async def organization_of(self, account: BaseUser, request: HTTPConnection) -> UUID | None:
        """Return the organization of the request; None if an operator has chosen none."""
        if not account.superuser:
            own: UUID = account.organization  # type: ignore[attr-defined]
            return own
        row = (
            await ConsoleSession.select(ConsoleSession.organization)
            .where(ConsoleSession.token == self.token(request))
            .first()
        )
        return row["organization_id"] if row else None

    async def choose(self, request: HTTPConnection, organization_id: UUID | None) -> None:
        """Keep with the session what an operator has chosen."""
        await ConsoleSession.update({ConsoleSession.organization: organization_id}).where(
            ConsoleSession.token == self.token(request)
        )

    def token(self, request: HTTPConnection) -> str:
        """Return what the table holds for the session of the request."""
        return self.sessions.keyed(request.cookies.get(COOKIE, ""))


class SignedIn:
    """Lets through who has signed in, and says to the application who it is."""

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
        scope.setdefault("state", {})["account"] = person
        refused = self._operators_only and not person.operator
        app = render(request, "refused.html", status_code=403) if refused else self._app
        await app(scope, receive, send)


def _sign_in_first(request: Request) -> Response:
    if request.url.path.endswith(".json"):
        return JSONResponse({"error": "Sign in first."}, 401)
    return RedirectResponse("/sign-in", 303)


async def active_organization() -> str | None:
    """Return the name of the organization of this ``tenant()`` block; None if it is deactivated."""
    active = Organization.select(Organization.name).where(Organization.is_active.eq(True))
    row = await active.first()
    return row["name"] if row else None


async def _name(organization_id: UUID | None) -> str | None:
    if organization_id is None:
        return None
    async with tenant(organization_id):
        return await active_organization()
