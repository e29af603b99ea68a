"""Answer a person's requests for rows inside ``tenant()``, and say what was not done."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from partman.errors import TenantColumnError
from partman.serve.console.tables import ShownTable, ShownTables
from partman.serve.pages import render
from partman.serve.people.authentication import Person
from partman.serve.people.tenants import Tenants
from partman.serve.security import asked, kind_of
from partman.tenant import tenant

logger = logging.getLogger("partman.serve")

TENANT = "_tenant"
"""The field with the tenant whose rows a form shows, because an operator may have chosen another
one since.
"""
ERRORS_OF_THE_REQUEST = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.RaiseError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    TenantColumnError,
)
"""Errors of the database that a different request, or the same one later, would avoid."""


class NotShownError(Exception):
    """The tenant was deactivated; its rows are not shown."""


class RefusedError(Exception):
    """The request is rejected, and its changes are rolled back."""

    def __init__(
        self, notice: str = "", errors: dict[str, str] | None = None, status_code: int = 422
    ) -> None:
        super().__init__(notice)
        self.notice = notice
        """What is told above the form."""
        self.errors = errors or {}
        """What is wrong with a field, by its name."""
        self.status_code = status_code


@dataclass(frozen=True)
class Visit:
    """A request of a person who has signed in, for rows of one tenant."""

    request: Request
    person: Person
    tenants: Tenants
    tables: ShownTables
    form: FormData = field(default_factory=FormData)
    """What was sent with it."""

    @property
    def table(self) -> ShownTable | None:
        """The table that the address names."""
        return self.tables.named(self.request.path_params.get("table", ""))

    def block(self) -> "_Block":
        """Return the block in which the tenant's rows are reached. Raises NotShownError."""
        return _Block(self)

    def page(self, template: str, *, status_code: int = 200, **context: Any) -> Response:
        """Return a page of the console."""
        return render(
            self.request,
            template,
            status_code=status_code,
            tables=self.tables,
            tenant_id=self.person.tenant_id,
            shown=self.table,
            **context,
        )

    def missing(self) -> Response:
        """Return the page for a row or a table that is not there for this tenant."""
        text = f"It may have been deleted, or it is another {self.tenants.noun}'s."
        link = None
        if self.table is None:
            text, link = "The console has no such table.", ("/console/", "Show all tables")
        return self.page(
            "console_message.html",
            status_code=404,
            title="Not found",
            text=f"{text} Nothing was changed.",
            link=link,
        )

    def refused(self, error: RefusedError) -> Response:
        """Return the page that says why nothing was done."""
        return self.page(
            "console_message.html",
            status_code=error.status_code,
            title="Nothing was changed" if self.request.method == "POST" else "Not shown",
            text=error.notice,
            link=None,
        )

    def done(self, what: str) -> None:
        """Log that something was done, without data of the row; the access log has the path."""
        logger.info("%s %s: %s", self.person.name, what, asked(self.request.scope))


class _Block:
    """``tenant()`` for the rows of an active tenant."""

    def __init__(self, visit: Visit) -> None:
        assert visit.person.tenant_id is not None
        self._tenants = visit.tenants
        self._block = tenant(visit.person.tenant_id)

    async def __aenter__(self) -> None:
        await self._block.__aenter__()
        try:
            await self._check()
        except BaseException as error:
            await self._block.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, *error: Any) -> None:
        await self._block.__aexit__(*error)

    async def _check(self) -> None:
        if await self._tenants.current_name() is None:
            raise NotShownError


View = Callable[[Visit], Awaitable[Response]]


def visited(
    view: View, tables: ShownTables, tenants: Tenants
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a view, for people who have signed in.

    What was sent is read before the view opens its block: a slow client would occupy one of few
    connections in it.
    """

    async def endpoint(request: Request) -> Response:
        person: Person = request.state.account
        if person.tenant is None:
            return RedirectResponse(tenants.path, 303)
        form = FormData()
        if request.method == "POST":
            form = request.scope.get("form") or await request.form()  # the CSRF check has read it
        try:
            return await _answer(view, Visit(request, person, tenants, tables, form))
        finally:
            await form.close()

    return endpoint


async def _answer(view: View, visit: Visit) -> Response:
    request, person = visit.request, visit.person
    if request.method == "POST" and visit.form.get(TENANT) != str(person.tenant_id):
        return _of_another(visit)
    if "table" in request.path_params and visit.table is None:
        return visit.missing()
    try:
        return await view(visit)
    except NotShownError:
        return RedirectResponse(visit.tenants.path, 303)
    except RefusedError as error:
        return visit.refused(error)


def _of_another(visit: Visit) -> Response:
    noun = visit.tenants.noun
    return visit.page(
        "console_message.html",
        status_code=409,
        title=f"Another {noun} was chosen",
        text=f"This form was opened for another {noun} than {visit.person.tenant}, or it was "
        "incomplete. Nothing was changed.",
        link=("/console/", f"Open the console of {visit.person.tenant}"),
    )


async def explained(error: Exception, visit: Visit, shown: ShownTable) -> RefusedError:
    """Return what an error of the database means, by its field where it has one.

    It is called after the block in which the error came.
    """
    logger.warning("%s: %s", asked(visit.request.scope), kind_of(error))
    if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
        return RefusedError(
            "Somebody else is changing it at the moment. Nothing was changed. Try again.",
            status_code=503,
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError | TenantColumnError):
        return RefusedError(
            "This is only allowed for the platform's operators. Nothing was changed.",
            status_code=403,
        )
    message = str(error.args[0]).partition("\n")[0].rstrip(".")
    constraint = getattr(error, "constraint_name", None)
    named: list[Any] = [getattr(error, "column_name", None)]
    rule = ""
    if constraint is not None:
        async with visit.block():
            named, rule = await _rule(error, shown)
        rule = visit.tables.rules.get(constraint, rule and f"Not allowed: it has to be {rule}")
    fields = [each for each in shown.fields if each.name in named]
    words = _in_words(error, [each.label for each in fields], rule)
    if not fields or not words:
        return RefusedError(f"{words or message}. Nothing was changed.")
    return RefusedError(errors={fields[-1].name if _is_key(error) else fields[0].name: f"{words}."})


def _is_key(error: Exception) -> bool:
    return isinstance(error, asyncpg.ForeignKeyViolationError)


def _in_words(error: Exception, labels: Sequence[str], rule: str) -> str:
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return "This row does not exist any more; choose another one" if labels else ""
    if isinstance(error, asyncpg.NotNullViolationError):
        return "Enter a value"
    if isinstance(error, asyncpg.UniqueViolationError):
        same = " and ".join(label.lower() for label in labels) or "value"
        return f"Another row already has this {same}"
    if isinstance(error, asyncpg.CheckViolationError):
        return rule.removesuffix(".")
    return ""


_RULE = """
SELECT a.attname AS name, pg_get_expr(c.conbin, c.conrelid) AS rule
FROM pg_attribute a
LEFT JOIN pg_constraint c ON c.conrelid = a.attrelid AND c.conname = {}
LEFT JOIN (pg_index i JOIN pg_class n ON n.oid = i.indexrelid AND n.relname = {})
    ON i.indrelid = a.attrelid
WHERE a.attrelid = to_regclass({}) AND (a.attnum = ANY(c.conkey) OR a.attnum = ANY(i.indkey))
ORDER BY a.attnum
"""


async def _rule(error: Any, shown: ShownTable) -> tuple[list[str], str]:
    """Return the columns of the violated constraint, and what it demands as SQL."""
    name, table = error.constraint_name, shown.table
    formatted = table._meta.get_formatted_tablename()
    rows = await table.raw(_RULE, name, name, formatted)
    rule = next((row["rule"] for row in rows if row["rule"]), "")
    return [row["name"] for row in rows], rule
