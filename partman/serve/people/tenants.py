"""The tenants, as those who sign in know them: by name, active or not, and one at a time."""

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
"""Returns the ID of the active tenant that somebody has named; None if there is none."""


@dataclass(frozen=True)
class Tenants:
    """The table of the tenants, and what the app says of it."""

    table: type[Table]
    named_by: tuple[Column, ...]
    """The columns that name one for a person."""
    active: Column | None = None
    """A column that is true or false; a tenant that is not active is not shown. None: all are."""
    find_by: Find | None = None
    """Finds one by what an operator types; None: by its ID."""
    found_by: str = "ID"
    """What an operator types, in the words of the page, and the name of its field: subdomain."""

    @property
    def noun(self) -> str:
        """What one of them is called on a page, after its table class: customer account."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.table.__name__).lower()

    @property
    def path(self) -> str:
        """The address of the page on which one is chosen."""
        return "/" + self.noun.replace(" ", "-")

    async def find(self, text: str) -> TenantId | None:
        """Return the ID of the active tenant that was meant; None if there is none."""
        if not text or not is_storable(text):
            return None
        if self.find_by is not None:
            return await self.find_by(text)
        try:
            async with tenant(text):
                return current_tenant() if await self.current_name() is not None else None
        except InvalidTenantIdError:
            return None

    async def name(self, tenant_id: TenantId) -> str | None:
        """Return the name of a tenant; None if it is not active, or does not exist."""
        async with tenant(tenant_id):
            return await self.current_name()

    async def current_name(self) -> str | None:
        """Return the name of the tenant whose ``tenant()`` block this is; None as name() does."""
        query = self.table.select(*self.named_by)
        if self.active is not None:
            query = query.where(Where(self.active, value=True, operator=Equal))
        row = await query.first()
        if row is None:
            return None
        return " ".join(str(value) for value in row.values() if value is not None) or "(no name)"
