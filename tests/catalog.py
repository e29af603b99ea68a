"""Read the contents of a database, for tests that compare two databases or two states."""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def catalog(url: str) -> frozenset[str]:
    """Return everything in the database except PostgreSQL's objects, the ledger and the history."""
    return written(read(url))


def written(found: Catalog) -> frozenset[str]:
    """Return all attributes of each object, including the position of columns, unlike a catalog."""
    return frozenset(map(repr, found.objects))


@asynccontextmanager
async def reader(url: str) -> "AsyncIterator[Connection]":
    """A connection that plans the statement of read_catalog() only once."""
    connection = await asyncpg.connect(url, max_cacheable_statement_size=0)
    try:
        yield connection
    finally:
        await connection.close()


def read(url: str, *, owner: str | None = None, bookkeeping: bool = False) -> Catalog:
    async def run() -> Catalog:
        connection = await asyncpg.connect(url)
        try:
            return await read_catalog(connection, owner=owner, bookkeeping=bookkeeping)
        finally:
            await connection.close()

    return asyncio.run(run())
