"""What is between Piccolo Admin's API and whoever asks it: a tenant, and a look at the question."""

import logging

import asyncpg
from fastapi.exceptions import RequestValidationError
from piccolo_api.crud.endpoints import PiccoloCRUD
from piccolo_api.crud.validators import Validators
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from partman.errors import PartmanError
from partman.serve.console.tables import ChangedMeanwhileError
from partman.serve.people.authentication import Authentication
from partman.serve.people.form_fields import TextFields
from partman.serve.security import asked, kind_of
from partman.tenant import TenantId, tenant

logger = logging.getLogger("partman.serve")

_DOCUMENTATION = ("/docs", "/openapi.json")
_FOR_PASSWORDS = ("/login", "/change-password")
"""Paths of Piccolo Admin's."""

_OF_THE_DATABASE = (asyncpg.PostgresError, asyncpg.InterfaceError, PartmanError)
_OF_THE_REQUEST = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.RaiseError,
)
"""What the database says no to, and another request would be answered yes."""

SHOWN = "X-Tenant"
"""The header in which a page says whose rows it shows. Meanwhile another one may be chosen."""


class TenantScope:
    """Runs what is asked for rows inside of ``tenant()``, and answers when it is committed."""

    def __init__(self, app: ASGIApp, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication
        self._tenants = authentication.tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of somebody who has signed in."""
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
            answer = _refusal(f"This page is about another {self._tenants.noun}", 409)
            await answer(scope, receive, send)
            return
        for message in await self._answer(tenant_id, scope, receive):
            await send(message)

    async def _answer(self, tenant_id: TenantId, scope: Scope, receive: Receive) -> list[Message]:
        """Return the whole answer: it must not say that something is done before it is."""
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
    """Wait for the whole body; return what gives it to whoever asks for it.

    In the block, who sends slowly would keep one of few connections. And where more of a large body
    is waited for, uvicorn goes on in that context: the next request on that socket, somebody else's
    behind a proxy, would be answered from a block that is over, which is 503.
    """
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    given = iter(messages)

    async def again() -> Message:
        return next(given, None) or await receive()

    return again


class _RefusedError(Exception):
    """The answer is no: what was done for it is rolled back."""


def _roll_back_if_refused(messages: list[Message]) -> None:
    if messages[0]["status"] >= 400:
        raise _RefusedError


class Reduced:
    """Leaves out what nobody needs, and what Piccolo would fail at.

    That is the API's documentation, whose scripts come from elsewhere, and Piccolo's own page to
    sign in at: a look at it counts as an attempt, which any site could have a browser make.
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


# Validators. Piccolo calls them by these names, and answers 400 whatever they raise.


def _can_be_read(piccolo_crud: PiccoloCRUD, request: Request) -> None:
    """Read the query as Piccolo will, which fails with a 500 if it is no query of a person's."""
    if "__range_header_name" in request.query_params:
        raise HTTPException(400, "The name of the range is the table's.")
    query = piccolo_crud._parse_params(request.query_params)  # noqa: SLF001
    filters = piccolo_crud._split_params(query).fields  # noqa: SLF001
    piccolo_crud.pydantic_model_filters(**filters)


async def _names_columns(piccolo_crud: PiccoloCRUD, request: Request) -> None:
    """Piccolo takes every attribute of a class for a column, as ``__doc__``."""
    unknown = set(await request.json()) - set(piccolo_crud.visible_fields_options)
    if unknown:
        raise HTTPException(400, f"There is no {', '.join(sorted(unknown))!a} to be changed.")


def _use_patch(piccolo_crud: PiccoloCRUD, request: Request) -> None:  # noqa: ARG001 -- by name
    raise HTTPException(405, "Send what changes with PATCH.")


VALIDATORS = Validators(
    every=[_can_be_read],
    patch_single=[_names_columns],
    # Piccolo Admin does not use it, and it goes past the hooks.
    put_single=[_use_patch],
)


async def not_understood(_: Request, error: Exception) -> Response:
    """Say what is wrong with a request, without what it said: that may be no text at all."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"loc": one["loc"], "msg": one["msg"]} for one in error.errors()]
    return JSONResponse({"detail": wrong}, 422)


def _explain(error: Exception) -> Response:
    if isinstance(error, RecursionError):
        return _refusal("It is nested too deeply")
    if isinstance(error, ChangedMeanwhileError):
        changed = "Somebody else has changed it since this form was opened; open it anew"
        return _refusal(changed, 412)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return _refusal("This may not be done here; it is a matter for the platform's operators")
    if isinstance(error, _OF_THE_REQUEST):
        return _refusal(str(error.args[0]).partition("\n")[0].rstrip("."))
    return JSONResponse({"db_error": "The database cannot be used right now."}, 503)


def _refusal(reason: str, status_code: int = 422) -> JSONResponse:
    """Refuse in the way that Piccolo Admin shows to a person."""
    return JSONResponse({"db_error": f"{reason}. Nothing was changed."}, status_code)
