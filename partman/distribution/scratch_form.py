"""Give a scratch database the keys of a distributed one, to try migrations on it."""

from partman.catalog.distributed_form import layout
from partman.catalog.read import read_catalog
from partman.database.connection import connected
from partman.distribution.steps import form_statements
from partman.isolation import Tenancy
from partman.settings import Settings


async def give_distributed_form(scratch: Settings, tenancy: Tenancy) -> None:
    """Replace the keys of a single server, as ``partman distribute`` does, without Citus.

    Raises asyncpg.PostgresError.
    """
    async with connected(scratch, "partman: distributed form") as connection:
        catalog = await read_catalog(connection)
        tables = layout(catalog, tenancy)
        if tables is None:
            return
        owner = await connection.fetchval("SELECT quote_ident(current_user)")
        async with connection.transaction():
            for statement in form_statements(catalog, tables, tenancy, owner):
                await connection.execute(statement)
