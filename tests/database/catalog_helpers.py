"""Reading catalogs in tests."""

import asyncio

import asyncpg

from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog


def read(url: str, *, owner: str | None = None, bookkeeping: bool = False) -> Catalog:
    async def run() -> Catalog:
        connection = await asyncpg.connect(url)
        try:
            return await read_catalog(connection, owner=owner, bookkeeping=bookkeeping)
        finally:
            await connection.close()

    return asyncio.run(run())
