"""Sign-in, sign-out, the password, and the tenant that an operator has chosen."""

import logging
import warnings
from typing import Any

from piccolo_api.change_password.endpoints import change_password
from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider, RateLimitError
from piccolo_api.session_auth.endpoints import session_login, session_logout
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from partman.serve.pages import render
from partman.serve.people.account_base import is_storable
from partman.serve.people.accounts import COOKIE, IDLE, LONGEST
from partman.serve.people.authentication import Authentication, Person, SignedIn
from partman.serve.people.form_fields import TextFields
from partman.serve.people.listing import listing, page_number

logger = logging.getLogger("partman.serve")

# The settings have decided whether cookies are sent over HTTPS only.
warnings.filterwarnings("ignore", message="If running sessions in production")

_WRONG = "The address or the password is wrong, or there were too many attempts."
_LISTED = "ID"
"""The field with the tenant that an operator has chosen from the list."""
_TOO_MANY = "Too many attempts from your address. Try again in five minutes."


def routes(
    authentication: Authentication,
    attempts: InMemoryLimitProvider,
    csrf: Middleware,
    *,
    secure: bool,
) -> list[BaseRoute]:
    """Return the routes; ``attempts`` counts the attempts of each client."""
    signed_in = [csrf, Middleware(SignedIn, authentication=authentication)]
    limited = [csrf, Middleware(_Limited, attempts=attempts), Middleware(TextFields)]
    out = session_logout(authentication.sessions, COOKIE, "/sign-in")
    return [
        Route("/", _home, middleware=signed_in),
        Route("/sign-in", _sign_in(authentication, secure=secure), middleware=limited),
        Route("/sign-out", out, methods=["POST"], middleware=[csrf]),
        Route(
            "/password",
            _password(authentication),
            middleware=[*signed_in, Middleware(TextFields)],
        ),
        Route(
            authentication.tenants.path,
            _Tenant(authentication),
            methods=["GET", "POST"],
            middleware=signed_in,
        ),
    ]


class _Limited:
    """Rejects a client that has made too many attempts."""

    def __init__(self, app: ASGIApp, attempts: InMemoryLimitProvider) -> None:
        self._app = app
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["method"] == "POST":
            request = Request(scope)
            try:
                self._attempts.increment(request.client.host if request.client else "")
            except RateLimitError:
                app = _sign_in_page(request, 429, _TOO_MANY)
        await app(scope, receive, send)


def _sign_in(authentication: Authentication, *, secure: bool) -> type[Any]:
    class SignIn(  # Piccolo's own, with partman's page
        session_login(  # type: ignore[misc]
            auth_table=authentication.accounts,
            session_table=authentication.sessions,
            session_expiry=IDLE,
            max_session_expiry=LONGEST,
            redirect_to="/",
            production=secure,
            cookie_name=COOKIE,
        )
    ):
        def _render_template(
            self, request: Request, template_context: dict[str, Any] | None = None, **_: Any
        ) -> HTMLResponse:
            return (
                _sign_in_page(request, 401, _WRONG) if template_context else _sign_in_page(request)
            )

    return SignIn


def _sign_in_page(
    request: Request, status_code: int = 200, error: str | None = None
) -> HTMLResponse:
    """Return the page, with the address that was typed: only the password is typed again."""
    typed = (request.scope.get("form") or {}).get("username") if error else None
    address = typed if isinstance(typed, str) and is_storable(typed) else ""
    return render(
        request, "sign_in.html", status_code=status_code, error=error, address=address.strip()
    )


def _password(authentication: Authentication) -> type[Any]:
    class Password(  # Piccolo's own, with partman's page
        change_password(  # type: ignore[misc]
            login_url="/sign-in",
            session_table=authentication.sessions,
            session_cookie_name=COOKIE,
        )
    ):
        def render_template(
            self,
            request: Request,
            template_context: dict[str, Any] | None = None,
            min_password_length: int = 0,
            **_: Any,
        ) -> HTMLResponse:
            error = (template_context or {}).get("error")
            return render(
                request,
                "password.html",
                status_code=422 if error else 200,
                error=error,
                shortest=min_password_length,
            )

    return Password


def _home(request: Request) -> Response:
    person: Person = request.state.account
    return RedirectResponse("/migrations" if person.operator else "/console/", 303)


class _Tenant:
    """Shows the current tenant; an operator chooses one here."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self._tenants = authentication.tenants
        self._found_by = self._tenants.found_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        person: Person = scope["state"]["account"]
        if request.method == "POST" and person.operator:
            answer = await self._choose(request, person)
        else:
            answer = await self._page(request, person)
        await answer(scope, receive, send)

    async def _choose(self, request: Request, person: Person) -> Response:
        form = request.scope.get("form") or await request.form()  # the CSRF check has read it
        listed, typed = (str(form.get(name, "")).strip() for name in (_LISTED, self._found_by))
        wanted = listed or typed
        found = None
        if wanted:
            found = await (self._tenants.by_id(listed) if listed else self._tenants.find(typed))
        if wanted and found is None:
            by = _LISTED if listed else self._found_by
            error = f"No active {self._tenants.noun} has the {by} {wanted}."
            return await self._page(request, person, error)
        await self._authentication.choose(request, found)
        logger.info("%s %s", person.name, f"looks at {wanted}" if wanted else "looks at none")
        return RedirectResponse("/console/" if wanted else self._tenants.path, 303)

    async def _page(self, request: Request, person: Person, error: str | None = None) -> Response:
        """Return the page; only an operator's has other tenants than the own one."""
        asked = request.query_params
        listed = None
        if person.operator:
            searched, page = asked.get("q", "").strip(), page_number(asked.get("page", ""))
            listed = await listing(self._authentication, searched, page)
        return render(
            request,
            "tenant.html",
            status_code=404 if error else 200,
            error=error,
            field=_LISTED,
            listed=listed,
        )
