"""The one way in which the application reaches the rows of an organization."""

import re
from uuid import UUID

import asyncpg
from piccolo.querystring import QueryString

from partman.database.engine import project_engine
from partman.errors import (
    InvalidOrganizationIdError,
    NotIsolatedError,
    PermissionDeniedError,
    TenancyError,
    TenantNestingError,
)
from partman.tenant.engine import TenantEngine
from partman.tenant.transaction import TenantTransaction

__all__ = ["current_organization", "organization_for_subdomain", "tenant"]

_CANONICAL = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def tenant(organization_id: UUID | str, *, engine: TenantEngine | None = None) -> TenantTransaction:
    """Return a block that reaches the rows of one organization, and no others.

    ::

        async with tenant(organization_id):
            deals = await Opportunity.select().where(Opportunity.stage == "negotiation")

    The block is a transaction: it commits when it ends, and rolls back when an exception leaves
    it. Everything that is asked of Piccolo in it, by tasks started in it too, goes over its one
    connection, one statement after the other. A block of the same organization inside of it
    joins it, as does ``engine.transaction()``. ``async with tenant(...) as transaction`` gives
    its ``savepoint()``, and its ``connection`` for statements of one's own.

    An ID is a ``uuid.UUID``, or a string in the form 8-4-4-4-12. It is not looked up: for an
    organization that does not exist there are no rows. ``engine`` is piccolo_conf's, unless
    another is given.

    In a web application it is in the handler, so that the commit comes before the response. With
    FastAPI, or anything like it::

        async def organization(request: Request) -> UUID:
            found = await organization_for_subdomain(request.url.hostname.partition(".")[0])
            if found is None:
                raise HTTPException(404)
            return found

        @app.get("/deals")
        async def deals(organization_id: Annotated[UUID, Depends(organization)]):
            async with tenant(organization_id):
                return await Opportunity.select()

    Raises InvalidOrganizationIdError here. Entering raises TenantNestingError, in a block of
    another organization, in any other transaction and in a migration; PermissionDeniedError,
    NotIsolatedError, DatabaseUnavailableError. A query raises TenantOverError after the block,
    and TenantLeavingError if it would leave the tenant. Leaving raises TenantRolledBackError
    when an error of the server was caught in the block.
    """
    parsed = _parsed(organization_id)
    return (engine or project_engine(TenantEngine)).tenant_transaction(parsed)


def current_organization(*, engine: TenantEngine | None = None) -> UUID:
    """Return the ID of the organization whose block we are in. Raises TenancyError outside."""
    current = (engine or project_engine(TenantEngine)).current_transaction.get()
    if not isinstance(current, TenantTransaction) or current.over:
        raise TenancyError("There is no organization here: this is outside of tenant().")
    return current.organization_id


async def organization_for_subdomain(
    subdomain: str, *, engine: TenantEngine | None = None
) -> UUID | None:
    """Return the ID of the active organization with that subdomain; None if there is none.

    For the request that does not know its tenant yet: it needs no right but the one to this
    question. A tenant has not even that, so inside of ``tenant()`` it is refused, with
    TenantNestingError. Raises PermissionDeniedError, NotIsolatedError.
    """
    engine = engine or project_engine(TenantEngine)
    current = engine.current_transaction.get()
    outlived = isinstance(current, TenantTransaction) and current.over
    if isinstance(current, TenantTransaction) and not outlived:
        raise TenantNestingError(
            "organization_for_subdomain() was asked inside of tenant(), which may not know of "
            "other organizations. Nothing was run. Ask before you enter the block."
        )
    token = engine.current_transaction.set(None) if outlived else None
    try:
        [row] = await engine.run_querystring(
            QueryString("SELECT public.organization_for_subdomain({}) AS id", subdomain)
        )
    except asyncpg.UndefinedFunctionError as error:
        raise NotIsolatedError(
            f"The database has no organization_for_subdomain: {error.args[0]}. "
            "Migrate it: piccolo migrations forwards all"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise PermissionDeniedError(
            f"The application's role may not look up a subdomain: {error}. As the role that runs "
            "the migrations: GRANT USAGE ON SCHEMA public TO <the role>; "
            "GRANT EXECUTE ON FUNCTION organization_for_subdomain(text) TO <the role>"
        ) from error
    finally:
        if token is not None:
            engine.current_transaction.reset(token)
    found: UUID | None = row["id"]
    return found


def _parsed(value: object) -> UUID:
    """Return a UUID whose text is nothing but a UUID, as it becomes part of a statement."""
    if isinstance(value, UUID):
        return UUID(int=value.int)  # a subclass may print as it likes
    if isinstance(value, str) and _CANONICAL.fullmatch(value):
        return UUID(value)
    raise InvalidOrganizationIdError(
        f"{value!r:.60} is not an organization's ID. Nothing was run. It is a uuid.UUID, or a "
        "string as in '123e4567-e89b-12d3-a456-426614174000'."
    )
