"""A database with every protection in place, to take one away and have it looked for."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from partman.audit import Audit, Gap, project_audit
from tests.support import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def _of_the_project() -> Audit:
    audit = project_audit()
    assert audit is not None
    return audit


PROJECT = _of_the_project()
"""What `partman check` asks here."""


def owner(database: Database) -> str:
    """The role that the migrations ran as."""
    return urlsplit(database.url).username or "partman"


async def connect_as_superuser(database: Database) -> Connection:
    """Connect as the superuser of the server that the tests started; skip where there is none.

    Keeps the plans of long statements too: to plan the audit takes longer than to ask it.
    """
    url = database.url.replace(f"//{owner(database)}@", "//postgres@", 1)
    try:
        return await asyncpg.connect(url, max_cacheable_statement_size=0)
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"The server has no superuser postgres that the tests may be: {error}")


async def keep_set_config_from_public(database: Database) -> None:
    """Do what only a superuser can, where it was not partman that set the server up."""
    connection = await connect_as_superuser(database)
    try:
        await connection.execute(
            f"""
            REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
            GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)
                TO {owner(database)} WITH GRANT OPTION;
            GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO partman_api;
            """
        )
    finally:
        await connection.close()


@dataclass(frozen=True)
class Opened(Database):
    """A database, and a superuser's session in it."""

    session: Connection


@asynccontextmanager
async def undone(database: Opened, *, superuser: bool = False) -> AsyncIterator[Connection]:
    """The session, whose work is rolled back in the end.

    Roles belong to the whole server: what is done to them here, no other test sees.
    """
    transaction = database.session.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        if not superuser:
            await database.session.execute(f"SET LOCAL SESSION AUTHORIZATION {owner(database)}")
        yield database.session
    finally:
        await transaction.rollback()


async def gaps_seen_by(
    role: str, connection: Connection, ignore: Collection[str] = ()
) -> list[Gap]:
    """Audit with the rights of a role, whoever is connected."""
    await connection.execute(f"SET LOCAL ROLE {role}")
    try:
        return await PROJECT.gaps(connection, ignore)
    finally:
        await connection.execute("SET LOCAL ROLE NONE; SET LOCAL search_path = public")


def found(gaps: Collection[Gap]) -> set[tuple[str, str]]:
    """Which rule named which object."""
    return {(gap.rule, gap.object) for gap in gaps}
