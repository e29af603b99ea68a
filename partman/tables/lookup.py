"""Find an organization before a tenant is known: by a request's subdomain, or by its name."""

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

_FOR_SUBDOMAIN = """\
CREATE FUNCTION organization_for_subdomain(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id FROM public.organizations WHERE subdomain = wanted AND is_active
$$"""
_ACTIVE = """\
CREATE FUNCTION active_organizations(searched text, most int, skipped int)
RETURNS TABLE (id uuid, name text, subdomain text, found bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id, name, subdomain, count(*) OVER () FROM public.organizations
    WHERE is_active AND (
        position(lower(searched) IN lower(name)) > 0 OR position(lower(searched) IN subdomain) > 0
    )
    ORDER BY NOT starts_with(lower(name), lower(searched)), lower(name), id
    LIMIT most OFFSET skipped
$$"""


def _for_callers(create: str, function: str, callers: str) -> tuple[str, ...]:
    return (
        create,
        # Before the owner changes: a REVOKE on another owner's function only warns.
        f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {function} TO {callers}",
        # The owner of a function needs CREATE on its schema.
        f"GRANT CREATE ON SCHEMA public TO {_AUTH}",
        f"ALTER FUNCTION {function} OWNER TO {_AUTH}",
        f"REVOKE CREATE ON SCHEMA public FROM {_AUTH}",
    )


FUNCTIONS = (
    *_for_callers(_FOR_SUBDOMAIN, "organization_for_subdomain(text)", _LOGINS),
    *_for_callers(_ACTIVE, "active_organizations(text, int, int)", str(TENANCY.roles.console)),
)
"""The functions that logins may call; they read organizations with their owner's privileges. Only
the console's login may list names: those of the platform's customers.
"""

RIGHTS = (
    f"GRANT SELECT (id, name, subdomain, is_active) ON organizations TO {_AUTH}",
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
