"""Reports across tenants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from partman.operator.session import acting_as
from partman.tenant.engine import TenantEngine

if TYPE_CHECKING:
    from asyncpg import Connection, Record


@asynccontextmanager
async def reports(*, engine: TenantEngine | None = None) -> AsyncIterator["Connection[Record]"]:
    """Read the views of all tenants that the project's reports' role may read.

    ::

        async with reports() as connection:
            rows = await connection.fetch("SELECT * FROM report_organizations")

    All queries see the same state of the database, and nothing can be changed. Piccolo's queries
    do not go over this connection. Raises what acting_as() raises.
    """
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    async with acting_as("reports", "reports()", begin=begin, engine=engine) as connection:
        yield connection
