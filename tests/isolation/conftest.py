"""Shared parts of the isolation tests: a database with two tenants, and connections to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from partman.isolation.logins import let_log_in
from tests.faults.processes import wait_until
from tests.isolation.matrix import Matrix
from tests.isolation.rows import World
from tests.isolation.tables import Connection
from tests.support import Database, as_role, query, server_url, temporary_database

WHOSE_TENANT = "current_setting('partman.organization_id', true)"


@dataclass(frozen=True)
class Populated:
    """A migrated database with two tenants."""

    database: Database
    world: World
    superuser: bool
    """Whether the tests may be superuser, as on their own server."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What sessions begin with."""
    unsupported: frozenset[str] = frozenset()
    """SQLSTATEs of what works on a single server, and is refused here."""

    @property
    def owner(self) -> str:
        """The role that ran the migrations."""
        return urlsplit(self.database.url).username or "partman"

    def url(self, role: str) -> str:
        return as_role(self.database.url, role)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """A connection for rolled_back(), which plans a long statement only once."""
        connection = await asyncpg.connect(
            self.url("postgres" if self.superuser else self.owner),
            max_cacheable_statement_size=0,
        )
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def rolled_back(self, connection: Connection) -> AsyncIterator[None]:
        """Have it be allowed to become every role, and its changes rolled back.

        Roles belong to the whole server; the rollback hides the changes from other tests.
        """
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            if not self.superuser:
                await connection.execute(f"GRANT partman_api, partman_seed TO {self.owner}")
            yield
        finally:
            await transaction.rollback()

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[Connection]:
        """A connection of its own that is rolled_back()."""
        async with self.connected() as connection, self.rolled_back(connection):
            yield connection

    @asynccontextmanager
    async def as_tenant(self, tenant: UUID) -> AsyncIterator[Connection]:
        """A connection as the application, for the tenant: other tenants' rows must not change."""
        async with self.undone() as connection:
            matrix = await Matrix.create(connection, self.world, with_cells=False)
            await connection.execute("ANALYZE")  # for what statistics would tell
            await connection.execute("SET LOCAL ROLE partman_app")
            await connection.execute(f"SET LOCAL partman.organization_id = '{tenant}'")
            yield connection
            await connection.execute("RESET ROLE")
            assert await matrix.others_are_unchanged(connection, tenant)

    async def answer(self, connection: Connection, sql: str) -> list[asyncpg.Record]:
        """Return the rows; none if the statement is not supported."""
        try:
            return await connection.fetch(sql)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in self.unsupported:
                raise
            return []


@pytest.fixture(scope="session")
def populated(template: Database) -> Iterator[Populated]:
    """Tests that change it revert the change."""
    with temporary_database(template.name) as clone:
        yield asyncio.run(_populate(clone))
        _wait_until_all_have_left(clone)


@pytest.fixture
def database(database: Database) -> Iterator[Database]:
    """A new, migrated database; at the end the application has disconnected."""
    yield database
    _wait_until_all_have_left(database)


def _wait_until_all_have_left(database: Database) -> None:
    """The owner may not end the application's sessions, and so cannot drop the database before."""
    others = """
        SELECT pid FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    """
    wait_until(lambda: not query(database.url, others), "the last session had ended")


async def _populate(database: Database) -> Populated:
    connection = await asyncpg.connect(database.url)
    try:
        world = await World.create(connection)
    finally:
        await connection.close()
    await _let_the_application_log_in()
    return Populated(database, world, await _is_ours())


async def _let_the_application_log_in() -> None:
    """As the deployment does, once for the whole server."""
    connection = await asyncpg.connect(server_url())
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext('partman_api logs in'))"
            )
            if not await connection.fetchval(
                "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'partman_api'"
            ):
                await connection.execute(let_log_in("partman_api"))
    finally:
        await connection.close()


async def _is_ours() -> bool:
    """Whether the tests may be superuser on the server."""
    try:
        connection = await asyncpg.connect(as_role(server_url(), "postgres"))
    except (asyncpg.PostgresError, OSError):
        return False
    try:
        return bool(await connection.fetchval("SELECT current_setting('is_superuser') = 'on'"))
    finally:
        await connection.close()


ENTER = ("BEGIN", "SET LOCAL ROLE partman_app", "SET LOCAL partman.organization_id = '{}'")
"""As tenant() does, but without its check of a statement's first word."""


@asynccontextmanager
async def application(populated: Populated) -> AsyncIterator[Connection]:
    """A session as the application's login."""
    connection = await asyncpg.connect(
        populated.url("partman_api"), server_settings={**populated.settings}
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def tenant_of(connection: Connection, organization: UUID) -> AsyncIterator[None]:
    for statement in ENTER:
        await connection.execute(statement.format(organization))
    try:
        yield
    finally:
        await connection.execute("ROLLBACK")


@pytest.fixture
async def attacker(populated: Populated) -> AsyncIterator[Connection]:
    """In a transaction, as ``other``: the victim is ``own``."""
    async with application(populated) as connection, tenant_of(connection, populated.world.other):
        yield connection
