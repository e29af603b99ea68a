"""The tenants as people know them: by name, active or inactive, one at a time."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from piccolo.columns import Column
from piccolo.columns.combination import Where
from piccolo.columns.operators.comparison import Equal
from piccolo.table import Table

from partman.errors import InvalidTenantIdError
from partman.serve.people.account_base import is_storable
from partman.tenant import TenantId, current_tenant, tenant

Find = Callable[[str], Awaitable[TenantId | None]]
"""Returns the ID of the active tenant with this name, or None."""


@dataclass(frozen=True)
class Choice:
    """A tenant among which an operator chooses."""

    id: str
    name: str
    detail: str = ""
    """What tells two tenants of one name apart, such as a subdomain."""


@dataclass(frozen=True)
class Search:
    """What an operator searches for among the tenants, and which page of it is shown."""

    text: str
    """Part of a name; empty: all tenants."""
    most: int
    """Tenants a page."""
    skipped: int
    """Tenants on the pages before."""


@dataclass(frozen=True)
class Found:
    """A page of the tenants that were found."""

    choices: tuple[Choice, ...]
    count: int
    """How many were found in all; 0 also for a page after the last one."""


ListTenants = Callable[[Search], Awaitable[Found | None]]
"""Lists active tenants for an operator; None if the database cannot, being of an older version."""


@dataclass(frozen=True)
class Tenants:
    """The table of the tenants, and the app's declarations about it."""

    table: type[Table]
    named_by: tuple[Column, ...]
    """The columns that name a tenant for a person."""
    active: Column | None = None
    """A boolean column; an inactive tenant is not shown. None: all tenants are active."""
    find_by: Find | None = None
    """Finds a tenant by the text that an operator types; None: by its ID."""
    found_by: str = "ID"
    """The page's word for this text, and the name of its field, such as subdomain."""
    list_by: ListTenants | None = None
    """Lists them for an operator; None: those that have an account are listed."""

    @property
    def noun(self) -> str:
        """The word for a tenant on a page, after its table class: customer account."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.table.__name__).lower()

    @property
    def path(self) -> str:
        """The path of the page on which a tenant is chosen."""
        return "/" + self.noun.replace(" ", "-")

    async def find(self, text: str) -> TenantId | None:
        """Return the ID of the active tenant that the text names, or None."""
        if not text or not is_storable(text):
            return None
        if self.find_by is not None:
            return await self.find_by(text)
        return await self.by_id(text)

    async def by_id(self, text: str) -> TenantId | None:
        """Return the ID if it is that of an active tenant, or None."""
        if not is_storable(text):
            return None
        try:
            async with tenant(text):
                return current_tenant() if await self.current_name() is not None else None
        except InvalidTenantIdError:
            return None

    async def name(self, tenant_id: TenantId) -> str | None:
        """Return the name of a tenant; None if it is inactive or does not exist."""
        async with tenant(tenant_id):
            return await self.current_name()

    async def current_name(self) -> str | None:
        """Return the name of the current tenant; None as name() does."""
        query = self.table.select(*self.named_by)
        if self.active is not None:
            query = query.where(Where(self.active, value=True, operator=Equal))
        row = await query.first()
        if row is None:
            return None
        return " ".join(str(value) for value in row.values() if value is not None) or "(no name)"
