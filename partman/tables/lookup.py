"""Look up a request's organization by subdomain, before a tenant is known."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
from piccolo.querystring import QueryString

from partman.database.engine import project_engine
from partman.errors import NotIsolatedError, PermissionDeniedError
from partman.tables.tenancy import TENANCY
from partman.tenant import TenantId, all_tenants
from partman.tenant.engine import TenantEngine

_AUTH = TENANCY.roles.auth
_LOGINS = ", ".join(TENANCY.roles.logins)

FUNCTION = (
    """\
CREATE FUNCTION organization_for_subdomain(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id FROM public.organizations WHERE subdomain = wanted AND is_active
$$""",
    # Before the owner changes: a REVOKE on another owner's function only warns.
    "REVOKE EXECUTE ON FUNCTION organization_for_subdomain(text) FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION organization_for_subdomain(text) TO {_LOGINS}",
    # The owner of a function needs CREATE on its schema.
    f"GRANT CREATE ON SCHEMA public TO {_AUTH}",
    f"ALTER FUNCTION organization_for_subdomain(text) OWNER TO {_AUTH}",
    f"REVOKE CREATE ON SCHEMA public FROM {_AUTH}",
)
"""The function that the logins may call; it reads organizations with its owner's privileges."""

RIGHTS = (
    f"GRANT SELECT (id, subdomain, is_active) ON organizations TO {_AUTH}",
    f"CREATE POLICY auth_lookup ON organizations FOR SELECT TO {_AUTH} USING (is_active)",
)
"""The columns and rows of organizations that its owner can read."""


def organizations(*, engine: TenantEngine | None = None) -> AsyncIterator[TenantId]:
    """Iterate the IDs of all active organizations, for ``for_each_tenant()``.

    No transaction is open in between. Raises what ``all_tenants()`` raises.
    """
    return all_tenants("is_active", engine=engine)


async def organization_for_subdomain(
    subdomain: str, *, engine: TenantEngine | None = None
) -> UUID | None:
    """Return the ID of the active organization with that subdomain, or None.

    For a request whose tenant is not known yet: the login needs only the privilege to call this
    function. A tenant lacks even that, so inside ``tenant()`` it raises TenantNestingError. Raises
    PermissionDeniedError, NotIsolatedError.
    """
    engine = engine or project_engine(TenantEngine)
    question = QueryString("SELECT public.organization_for_subdomain({}) AS id", subdomain)
    try:
        with engine.outside_of_tenant("organization_for_subdomain()"):
            [row] = await engine.run_querystring(question)
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
    found: UUID | None = row["id"]
    return found
