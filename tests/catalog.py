"""What a database contains, for tests that compare two databases, or one before and after."""

import asyncio

import asyncpg

from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog


def catalog(url: str) -> frozenset[str]:
    """Everything in the database that is not PostgreSQL's own, the ledger or the history."""
    return written(read(url))


def written(found: Catalog) -> frozenset[str]:
    """All that is known of each object; also where a column stands, which catalogs ignore."""
    return frozenset(map(repr, found.objects))


def read(url: str, *, owner: str | None = None, bookkeeping: bool = False) -> Catalog:
    async def run() -> Catalog:
        connection = await asyncpg.connect(url)
        try:
            return await read_catalog(connection, owner=owner, bookkeeping=bookkeeping)
        finally:
            await connection.close()

    return asyncio.run(run())
