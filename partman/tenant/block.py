"""The one way in which the application reaches the rows of a tenant."""

from partman.database.engine import project_engine
from partman.errors import TenancyError
from partman.tenant.engine import TenantEngine
from partman.tenant.tenant_id import TenantId, parse_tenant_id
from partman.tenant.transaction import TenantTransaction

__all__ = ["current_tenant", "tenant"]


def tenant(tenant_id: TenantId, *, engine: TenantEngine | None = None) -> TenantTransaction:
    """Return a block that reaches the rows of one tenant, and no others.

    ::

        async with tenant(organization_id):
            deals = await Opportunity.select().where(Opportunity.stage == "negotiation")

    The block is a transaction: it commits when it ends, and rolls back when an exception leaves
    it. Everything that is asked of Piccolo in it, by tasks started in it too, goes over its one
    connection, one statement after the other. A block of the same tenant inside of it joins it, as
    does ``engine.transaction()``. ``async with tenant(...) as transaction`` gives its
    ``savepoint()``, and its ``connection`` for statements of one's own.

    The type of an ID is that of the project's ``Tenancy.key``: a ``uuid.UUID``, or a string in the
    form 8-4-4-4-12; an int, or a string of its decimal digits; or any text but an empty one. It is
    not looked up: for a tenant that does not exist there are no rows. ``engine`` is
    piccolo_conf's, unless another is given.

    In a web application, ``partman.asgi`` enters it, and commits before the response; in code
    without an event loop, use ``tenant_sync()``: see docs/application.md.

    Raises InvalidTenantIdError and NoTenancyError here. Entering raises TenantNestingError, in a
    block of another tenant, in any other transaction and in a migration; TenantYieldError around a
    yield; PoolFullError; PermissionDeniedError, NotIsolatedError, DatabaseUnavailableError. A query
    raises TenantOverError after the block, TenantLeavingError if it would leave the tenant,
    TenantColumnError if it changes a row's tenant or ID, and WrongLoopError in another event loop.
    Leaving raises TenantRolledBackError when an error of the server was caught in the block, and
    TenantTimeoutError when the server has ended the session.
    """
    engine = engine or project_engine(TenantEngine)
    return engine.tenant_transaction(parse_tenant_id(tenant_id, engine.needed_tenancy.key))


def current_tenant(*, engine: TenantEngine | None = None) -> TenantId:
    """Return the ID of the tenant whose block we are in. Raises TenancyError outside."""
    current = (engine or project_engine(TenantEngine)).current_transaction.get()
    if not isinstance(current, TenantTransaction) or current.over:
        raise TenancyError(
            "current_tenant() was called outside of tenant(). Nothing was run. Call it inside of "
            "async with tenant(...)."
        )
    return current.tenant_id
