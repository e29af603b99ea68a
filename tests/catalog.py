"""Read the contents of a database, for tests that compare two databases or two states."""

import asyncio

import asyncpg

from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog


def catalog(url: str) -> frozenset[str]:
    """Return everything in the database except PostgreSQL's objects, the ledger and the history."""
    return written(read(url))


def written(found: Catalog) -> frozenset[str]:
    """Return all attributes of each object, including the position of columns, unlike a catalog."""
    return frozenset(map(repr, found.objects))


def read(url: str, *, owner: str | None = None, bookkeeping: bool = False) -> Catalog:
    async def run() -> Catalog:
        connection = await asyncpg.connect(url)
        try:
            return await read_catalog(connection, owner=owner, bookkeeping=bookkeeping)
        finally:
            await connection.close()

    return asyncio.run(run())
