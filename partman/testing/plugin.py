"""The fixtures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any

import pytest
from piccolo.table import Table

from partman.database.engine import project_engine
from partman.engine import PartmanEngine
from partman.errors import PartmanError
from partman.settings import Settings
from partman.tenant import tenant
from partman.tenant.transaction import TenantTransaction
from partman.testing.database import MigratedDatabase, OwnerTransaction, connects_as_owner
from partman.testing.factory import Factory
from partman.testing.loop import BackgroundLoop
from partman.testing.rollback import Lease, RollbackPool, owner_lease, rollback_pool
from partman.testing.template import Template, migrated_template

CLONE, ROLLBACK = "clone", "rollback"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the setting."""
    parser.addini(
        "partman_database",
        f"What a test works on: a database of its own ({CLONE}), or a transaction that is rolled "
        f"back ({ROLLBACK}).",
        default=CLONE,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"partman_database(mode): what the test works on: '{CLONE}', a database of its own, or "
        f"'{ROLLBACK}', a transaction that is rolled back",
    )


@pytest.fixture(scope="session")
def partman_loop() -> Iterator[BackgroundLoop]:
    """Return the event loop of what outlives a test."""
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def partman_settings() -> Settings:
    """Return the settings that name the server; override it to test on another one."""
    return project_engine(PartmanEngine).settings


@pytest.fixture(scope="session")
def partman_template(
    partman_loop: BackgroundLoop, partman_settings: Settings
) -> Iterator[Template]:
    """Return the migrated database of the session; all workers of pytest-xdist share it."""
    with partman_loop.inside(migrated_template(partman_settings)) as template:
        yield template


@pytest.fixture(scope="session")
def _database_to_roll_back(
    partman_loop: BackgroundLoop, partman_template: Template
) -> Iterator[Settings]:
    with partman_loop.inside(partman_template.clone()) as settings:
        yield settings


@pytest.fixture
def partman_database(
    request: pytest.FixtureRequest,
    partman_loop: BackgroundLoop,
    partman_template: Template,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MigratedDatabase]:
    """Return a migrated database for this test; the project's engine works on it."""
    mode = _mode(request)
    engine = partman_template.engine
    if engine.pool is not None:
        raise PartmanError(
            "The engine has a connection pool to another database. The test was not begun. Start "
            "the pool in the test, or in a fixture that uses partman_database."
        )
    with ExitStack() as stack:
        if mode == CLONE:
            settings = stack.enter_context(partman_loop.inside(partman_template.clone()))
            owner = connects_as_owner(settings)
        else:
            settings = request.getfixturevalue("_database_to_roll_back")
            login, role = partman_template.for_rollback(settings)
            pool = stack.enter_context(
                partman_loop.inside(rollback_pool(partman_loop, login, engine.tenancy))
            )
            owner = partial(owner_lease, pool, role, partial(_is_in_block, engine))
            _route(engine, pool, monkeypatch)
        stack.enter_context(engine.working_on(partman_template.for_application(settings)))
        yield MigratedDatabase(
            settings, engine, owner, partman_template.shapes, partman_template.app_role
        )
        left, engine.pool = engine.pool, None
        if left is not None:
            with suppress(Exception):  # its event loop may be closed
                left.terminate()
            raise PartmanError(
                "The test has left a connection pool open; its connections were dropped. Close it "
                "at the end: await DB.close_connection_pool()"
            )


@pytest.fixture
def make(partman_database: MigratedDatabase) -> Factory:
    """Return the factory of rows."""
    return Factory(partman_database)


@pytest.fixture
def as_owner(
    partman_database: MigratedDatabase,
) -> Callable[[], AbstractAsyncContextManager[OwnerTransaction]]:
    """Return what enters a block on the rows of all tenants."""
    return partman_database.as_owner


@pytest.fixture
def as_tenant(partman_database: MigratedDatabase, make: Factory) -> "Callable[..., AsTenant]":
    """Return what enters the block of a tenant, or of a new one."""
    return partial(AsTenant, partman_database, make)


class AsTenant:
    """A ``tenant()`` block of an existing tenant or of a new one."""

    def __init__(
        self, database: MigratedDatabase, make: Factory, of: Any = None, /, **given: Any
    ) -> None:
        """Take a tenant, its row or its ID; without one, make one with ``given`` values."""
        self._database = database
        self._make = make
        self._of = of
        self._given = given
        self._block: TenantTransaction | None = None

    async def __aenter__(self) -> Any:
        """Return the tenant's row, or the ID that was given."""
        of = self._of if self._of is not None else await self._make.tenant(**self._given)
        key = getattr(of, of._meta.primary_key._meta.name) if isinstance(of, Table) else of
        self._block = tenant(key, engine=self._database.engine)
        await self._block.__aenter__()
        return of

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the block: it commits, or rolls back if there is an error."""
        assert self._block is not None
        await self._block.__aexit__(kind, error, trace)


def _mode(request: pytest.FixtureRequest) -> str:
    marker = request.node.get_closest_marker("partman_database")
    mode = marker.args[0] if marker and marker.args else request.config.getini("partman_database")
    if mode not in {CLONE, ROLLBACK}:
        raise PartmanError(
            f"partman_database is {mode!r}; it must be '{CLONE}' or '{ROLLBACK}'. The test was not "
            "begun. Correct the marker or the setting."
        )
    return str(mode)


def _is_in_block(engine: Any) -> bool:
    current = engine.current_transaction.get()
    return isinstance(current, TenantTransaction) and not current.over


def _route(engine: PartmanEngine, pool: RollbackPool, patch: pytest.MonkeyPatch) -> None:
    """Let everything that the engine sends go over the one connection, with a pool and without."""

    async def connection(**_: object) -> Lease:
        return await pool.take()

    async def start(**_: object) -> None:
        engine.pool = pool  # type: ignore[assignment]

    async def close() -> None:
        engine.pool = None

    patch.setattr(engine, "application_connection", connection)
    patch.setattr(engine, "start_connection_pool", start)
    patch.setattr(engine, "close_connection_pool", close)
