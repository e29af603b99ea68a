"""The console: Piccolo Admin, for the rows of one tenant at a time."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from markupsafe import escape
from piccolo.columns import JSON, Text, Timestamp, Timestamptz
from piccolo_admin.endpoints import AdminRouter, TableConfig, create_admin
from piccolo_api.crud.endpoints import OrderBy
from piccolo_api.crud.hooks import Hook, HookType
from piccolo_api.rate_limiting.middleware import InMemoryLimitProvider
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount

from partman.serve.console.api import VALIDATORS, Reduced, TenantScope, invalid_request
from partman.serve.console.tables import ConsoleTable, without_unchanged
from partman.serve.people.accounts import IDLE, LONGEST, PROLONGED
from partman.serve.people.authentication import Authentication, Person
from partman.serve.people.tenants import Tenants

# These loggers quote errors in full, and so possibly a row; partman logs the errors without it.
_THEIR_LOGGERS = ("piccolo_admin.endpoints", "piccolo_api.crud.exceptions")

_NOT_IN_A_LIST = (JSON, Text, Timestamp, Timestamptz)
"""Types that are too long or of little interest in a list."""


def create_console(
    tables: Sequence[type[ConsoleTable]],
    authentication: Authentication,
    attempts: InMemoryLimitProvider,
    hosts: Sequence[str],
    *,
    secure: bool,
) -> AdminRouter:
    """Return Piccolo Admin, whose requests for rows are answered inside ``tenant()``."""
    tenants = authentication.tenants
    for name in _THEIR_LOGGERS:
        logging.getLogger(name).disabled = True
    admin: AdminRouter = create_admin(
        tables=[_config(table) for table in tables],
        auth_table=authentication.accounts,
        session_table=authentication.sessions,
        session_expiry=IDLE,
        max_session_expiry=LONGEST,
        increase_expiry=PROLONGED,
        rate_limit_provider=attempts,
        production=secure,
        site_name="partman",
        auto_include_related=False,
        allowed_hosts=hosts,
        sidebar_links={tenants.noun.capitalize(): tenants.path},
    )
    mounts = {route.path: route for route in admin.routes if isinstance(route, Mount)}
    _scope_to_tenant(mounts, authentication)
    if "/public" not in mounts:
        raise TypeError("Piccolo Admin has moved its sign-in.")
    mounts["/public"].app = Reduced(mounts["/public"].app)
    return admin


def console_page(admin: AdminRouter, tenants: Tenants, style: str, script: str) -> Any:
    """Return the endpoint of the page itself, which names the tenant whose rows it shows."""
    before, head, rest = admin.template.partition("</head>")
    to_body, body, after = rest.partition('<div id="app">')
    if not (head and body):
        raise RuntimeError("Piccolo Admin has changed its page.")
    links = (
        '<link rel="icon" href="/static/icon.svg">'
        f'<link rel="stylesheet" href="{style}"><script src="{script}"></script>'
    )

    async def page(request: Request) -> Response:
        person: Person = request.state.account
        if person.tenant is None:
            return RedirectResponse(tenants.path, 303)
        whose = (
            f'<p id="tenant" data-id="{escape(person.tenant_id)}" data-noun="{tenants.noun}">'
            f"{escape(person.tenant)}</p>"
        )
        return HTMLResponse(f"{before}{links}{head}{to_body}{whose}{body}{after}")

    return page


def _scope_to_tenant(mounts: Mapping[str, Mount], authentication: Authentication) -> None:
    """Put tenant() between Piccolo Admin's authentication and its API."""
    authenticated = mounts["/api"].app if "/api" in mounts else None
    if not isinstance(authenticated, AuthenticationMiddleware):
        raise TypeError("Piccolo Admin has moved its authentication.")
    api = authenticated.app
    if not isinstance(api, FastAPI):
        raise TypeError("Piccolo Admin has changed its API.")
    api.add_exception_handler(RequestValidationError, invalid_request)
    authenticated.app = TenantScope(api, authentication)


def _config(table: type[ConsoleTable]) -> TableConfig:
    names = table.name_columns()
    first = names[0]
    in_list = [
        column
        for column in table._meta.columns
        if not isinstance(column, _NOT_IN_A_LIST) and not column._meta.primary_key
    ]
    return TableConfig(
        table,
        visible_columns=[first, *(column for column in in_list if column is not first)],
        visible_filters=in_list,
        link_column=first,
        order_by=[OrderBy(column) for column in names],
        hooks=[Hook(HookType.pre_patch, partial(without_unchanged, table))],
        validators=VALIDATORS,
    )
