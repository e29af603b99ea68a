"""A database with the tables of a project that has a tenancy of its own, and two tenants' rows."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import pytest

from partman.engine import PartmanEngine
from partman.grammar.names import literal
from partman.isolation import Key
from partman.isolation.roles import let_set_config, restrict_set_config
from partman.migration.verification.rebuild import prepare_database
from partman.settings import Settings
from tests.database.audit_support import connect_as_superuser, owner
from tests.foreign.shops import SHOPS, Shop
from tests.support import Database, as_role, fetch, shared_database
from tests.tenants import login_role

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class OpenShop:
    """A shop with a database: each tenant has a project, and a task of it."""

    shop: Shop
    database: Database
    engine: PartmanEngine
    """The application's."""

    async def as_owner(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        return await fetch(self.database.url, sql, *arguments)

    async def id_of(self, table: str, tenant: Any) -> Any:
        column = self.shop.tenancy.column
        [row] = await self.as_owner(f"SELECT id FROM {table} WHERE {column} = $1", tenant)
        return row["id"]


_PRINTED_AS_OTHERS = {"bigint", "few roles", "uuid"}
"""The server prints their conditions as those of "integer" and of this project's own tables."""


def _params() -> Iterator[object]:
    same = pytest.mark.same_on_every_version
    for name in SHOPS:
        yield pytest.param(name, marks=[same] if name in _PRINTED_AS_OTHERS else [])


@pytest.fixture(params=_params())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(kind: str) -> Shop:
    return SHOPS[kind]()


@pytest.fixture(scope="session")
def login_of() -> Iterator[Callable[[str], str]]:
    """The application's login by the role that it is granted."""
    with ExitStack() as made:
        yield functools.cache(lambda role: made.enter_context(login_role(role)))


@pytest.fixture
def open_shop(kind: str, shop: Shop, login_of: Callable[[str], str]) -> Iterator[OpenShop]:
    """A copy of the shop's database, as one worker of the run has built it."""

    def fill(database: Database) -> None:
        asyncio.run(build(shop, database))

    with shared_database(f"shop_{kind.replace(' ', '_')}", fill) as database:
        login = login_of(shop.tenancy.roles.api)
        settings = Settings.load({"DATABASE_URL": as_role(database.url, login)})
        engine = PartmanEngine(settings=settings, tenancy=shop.tenancy)
        for table in shop.tables:
            table._meta._db = engine
        yield OpenShop(shop, database, engine)


async def build(shop: Shop, database: Database) -> None:
    """As its migrations would."""
    await keep_set_config_from_public(database)
    connection = await asyncpg.connect(database.url)
    try:
        await _create(shop, connection)
        await connection.execute(let_set_config(shop.tenancy.roles.logins)[0])
    finally:
        await connection.close()


async def keep_set_config_from_public(database: Database) -> None:
    """As a superuser who sets up a database does; its owner may pass it on."""
    superuser = await connect_as_superuser(database)
    try:
        await superuser.execute(restrict_set_config()[0])
        await superuser.execute(
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)"
            f" TO {owner(database)} WITH GRANT OPTION"
        )
    finally:
        await superuser.close()


async def _create(shop: Shop, connection: Connection) -> None:
    await prepare_database(connection, shop.tenancy)
    for table in shop.tables:
        for statement in (*table.create_table().ddl, *table.extras):  # type: ignore[attr-defined]
            await connection.execute(statement)
    column = shop.tenancy.column
    numbered = await connection.fetchval("SELECT pg_get_serial_sequence('projects', 'id')")
    for tenant in shop.ids:
        own = str(tenant) if isinstance(tenant, int) else literal(str(tenant))
        # A key of text has no default.
        key = "DEFAULT" if numbered or shop.tenancy.key is Key.UUID else own
        for statement in (
            f"INSERT INTO {shop.tenancy.table} (id, name) VALUES ({own}, {literal(str(tenant))})",
            f"INSERT INTO projects (id, {column}, name) VALUES ({key}, {own}, 'made')",
            f"INSERT INTO tasks (id, {column}, title, project_id) VALUES ({key}, {own}, 'made',"
            f" (SELECT id FROM projects WHERE {column} = {own}))",
        ):
            await connection.execute(statement)
