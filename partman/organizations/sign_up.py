"""Create an organization together with its first user."""

import asyncio
from uuid import UUID

from partman.accounts.users import hash_password
from partman.errors import TenantNameTakenError, TenantRefusedError
from partman.operator import TenantsTable, create_tenant
from partman.tables import Organization, User
from partman.tables.user import Role
from partman.tenant.engine import TenantEngine

ORGANIZATIONS = TenantsTable(Organization, Organization.subdomain, Organization.is_active)
"""What ``partman.operator`` has to know of organizations."""

_HOST_LABEL = "organizations_subdomain_is_host_label"


class SubdomainTakenError(TenantNameTakenError):
    """Another organization has the subdomain."""


class InvalidSubdomainError(TenantRefusedError):
    """The subdomain is no label of a host name."""


async def create_organization(
    *,
    subdomain: str,
    name: str,
    email: str,
    password: str,
    first_name: str,
    last_name: str,
    engine: TenantEngine | None = None,
) -> UUID:
    """Create an organization and its first user, an admin, in one transaction; return its ID.

    It works as partman_operator, which the application's login may become outside of ``tenant()``.
    Raises SubdomainTakenError, InvalidSubdomainError, PasswordRefusedError, TenantRefusedError,
    RowRefusedError for the user; and what ``partman.operator.create_tenant()`` raises.
    """
    user = {
        "email": email,
        # It takes a quarter of a second, in which the event loop serves other requests.
        "password_hash": await asyncio.to_thread(hash_password, password),
        "first_name": first_name,
        "last_name": last_name,
        "role": Role.ADMIN,
    }
    organization = {"subdomain": subdomain, "name": name}
    try:
        created = await create_tenant(ORGANIZATIONS, organization, [(User, [user])], engine=engine)
    except TenantNameTakenError as error:
        raise SubdomainTakenError(str(error), error.constraint) from error
    except TenantRefusedError as error:
        if error.constraint != _HOST_LABEL:
            raise
        raise InvalidSubdomainError(
            f"The subdomain {subdomain!r} is no label of a host name. Nothing was created. Use up "
            "to 63 lower-case letters, digits and hyphens; it begins and ends with a letter or "
            "digit.",
            error.constraint,
        ) from error
    assert isinstance(created, UUID)
    return created
