"""Middleware in front of Piccolo Admin's API: sets the tenant, and validates requests."""

import logging

import asyncpg
from fastapi.exceptions import RequestValidationError
from piccolo_api.crud.endpoints import PiccoloCRUD
from piccolo_api.crud.validators import Validators
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from partman.errors import PartmanError, TenantColumnError
from partman.serve.console.tables import ChangedMeanwhileError
from partman.serve.people.authentication import Authentication
from partman.serve.people.form_fields import TextFields
from partman.serve.security import asked, kind_of
from partman.tenant import TenantId, tenant

logger = logging.getLogger("partman.serve")

_DOCUMENTATION = ("/docs", "/openapi.json")
_FOR_PASSWORDS = ("/login", "/change-password")
"""Paths of Piccolo Admin."""

_OF_THE_DATABASE = (asyncpg.PostgresError, asyncpg.InterfaceError, PartmanError)
_OF_THE_REQUEST = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.RaiseError,
)
"""Errors of the database that a different request would avoid."""

SHOWN = "X-Tenant"
"""The header in which a page sends the tenant whose rows it shows, because an operator may have
chosen another one since.
"""


class TenantScope:
    """Runs requests for rows inside ``tenant()``, and answers after the commit."""

    def __init__(self, app: ASGIApp, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication
        self._tenants = authentication.tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request of a person who has signed in."""
        if not scope["path"].removeprefix(scope.get("root_path", "")).startswith("/tables/"):
            await Reduced(self._app)(scope, receive, send)
            return
        receive = await _received(receive)
        request = Request(scope)
        tenant_id = await self._authentication.tenant_of(request.user.user, request)
        if tenant_id is None:
            answer = _refusal(
                f"No {self._tenants.noun} is chosen; choose one first: {self._tenants.path}"
            )
            await answer(scope, receive, send)
            return
        if request.headers.get(SHOWN, str(tenant_id)) != str(tenant_id):
            answer = _refusal(f"This page shows another {self._tenants.noun}", 409)
            await answer(scope, receive, send)
            return
        for message in await self._answer(tenant_id, scope, receive):
            await send(message)

    async def _answer(self, tenant_id: TenantId, scope: Scope, receive: Receive) -> list[Message]:
        """Return the whole response, which must not report success before the commit."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        try:
            async with tenant(tenant_id):
                active = await self._tenants.current_name() is not None
                app = (
                    self._app
                    if active
                    else _refusal(
                        f"The {self._tenants.noun} is deactivated, and its rows are not shown"
                    )
                )
                await app(scope, receive, keep)
                _roll_back_if_refused(messages)
        except _RefusedError:
            pass
        except (*_OF_THE_DATABASE, RecursionError) as error:
            logger.warning("%s: %s", asked(scope), kind_of(error))
            messages.clear()
            await _explain(error)(scope, receive, keep)
        return messages


async def _received(receive: Receive) -> Receive:
    """Wait for the whole body; return a function that replays it.

    Inside the block, a slow client would occupy one of few connections. And if uvicorn waits for
    the rest of a large body there, it handles the next request on that socket, which behind a proxy
    may be another person's, in the context of a block that has ended: 503.
    """
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    given = iter(messages)

    async def again() -> Message:
        return next(given, None) or await receive()

    return again


class _RefusedError(Exception):
    """The request is rejected; its changes are rolled back."""


def _roll_back_if_refused(messages: list[Message]) -> None:
    if messages[0]["status"] >= 400:
        raise _RefusedError


class Reduced:
    """Removes unneeded parts of Piccolo Admin, and parts at which it would fail.

    These are the API's documentation, whose scripts come from other sites, and Piccolo's own
    sign-in page: opening it counts as an attempt, and any site could make a browser open it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(_DOCUMENTATION) or (
            path.startswith(_FOR_PASSWORDS) and scope["method"] != "POST"
        ):
            await Response(status_code=404)(scope, receive, send)
        elif path.startswith(_FOR_PASSWORDS):
            await TextFields(self._app)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


# Validators. Piccolo calls them by these names, and answers 400 to any exception.


def _can_be_read(piccolo_crud: PiccoloCRUD, request: Request) -> None:
    """Parse the query as Piccolo will, which fails with a 500 for a malformed one."""
    if "__range_header_name" in request.query_params:
        raise HTTPException(400, "The name of the range must be the table's name.")
    query = piccolo_crud._parse_params(request.query_params)  # noqa: SLF001
    filters = piccolo_crud._split_params(query).fields  # noqa: SLF001
    piccolo_crud.pydantic_model_filters(**filters)


async def _names_columns(piccolo_crud: PiccoloCRUD, request: Request) -> None:
    """Reject unknown columns: Piccolo accepts every attribute of a class, even ``__doc__``."""
    unknown = set(await request.json()) - set(piccolo_crud.visible_fields_options)
    if unknown:
        raise HTTPException(
            400, f"There is no column {', '.join(sorted(unknown))!a} that can be changed."
        )


def _use_patch(piccolo_crud: PiccoloCRUD, request: Request) -> None:  # noqa: ARG001 -- by name
    raise HTTPException(405, "Send changes with PATCH.")


VALIDATORS = Validators(
    every=[_can_be_read],
    patch_single=[_names_columns],
    # Piccolo Admin does not use PUT, which bypasses the hooks.
    put_single=[_use_patch],
)


async def invalid_request(_: Request, error: Exception) -> Response:
    """Return what is wrong with a request without quoting it: it may not be valid text."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"loc": each["loc"], "msg": each["msg"]} for each in error.errors()]
    return JSONResponse({"detail": wrong}, 422)


def _explain(error: Exception) -> Response:
    if isinstance(error, RecursionError):
        return _refusal("It is nested too deeply")
    if isinstance(error, ChangedMeanwhileError):
        changed = "Another person has changed it since this form was opened; open it again"
        return _refusal(changed, 412)
    if isinstance(error, asyncpg.InsufficientPrivilegeError | TenantColumnError):
        return _refusal("This is only allowed for the platform's operators")
    if isinstance(error, _OF_THE_REQUEST):
        return _refusal(str(error.args[0]).partition("\n")[0].rstrip("."))
    return JSONResponse({"db_error": "The database is unavailable."}, 503)


def _refusal(reason: str, status_code: int = 422) -> JSONResponse:
    """Return a refusal in the form that Piccolo Admin shows to a person."""
    return JSONResponse({"db_error": f"{reason}. Nothing was changed."}, status_code)
