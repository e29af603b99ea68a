"""``partman reset``: what it drops, what it refuses, and what a kill leaves."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import pytest

from partman.database import fresh
from partman.database.fresh import is_named_for_development, replace_database
from partman.errors import LockHeldError, NotAllowedError
from partman.settings import Environment, Settings
from tests.support import (
    Database,
    administrator,
    execute,
    fetch,
    query,
    run,
    temporary_database,
    with_database,
)

pytestmark = pytest.mark.same_on_every_version


@pytest.fixture
def named_dev() -> Iterator[Database]:
    """An unmigrated database with a table, whose name says what it is for."""
    with temporary_database() as plain:
        name = f"{plain.name}_dev"
        administrator().ask(f"ALTER DATABASE {plain.name} RENAME TO {name}")
        database = Database(with_database(plain.url, name))
        execute(database.url, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
        try:
            yield database
        finally:
            for left in (name, f"{name}_reset_new", f"{name}_reset_old"):
                administrator().ask(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")


def settings(database: Database, environment: str = "development") -> Settings:
    return Settings.load({"DATABASE_URL": database.url, "PARTMAN_ENV": environment})


def databases(database: Database) -> list[str]:
    like = "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1"
    return [row["datname"] for row in administrator().ask(like, database.name)]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        *(("shop_dev", True), ("dev", True), ("shop-development-2", True), ("Dev.Ann", True)),
        *(("shop", False), ("devices", False), ("my_device", False), ("prod", False), ("", False)),
    ],
)
def test_a_name_says_plainly_what_a_database_is_for(name: str, named: bool) -> None:
    assert is_named_for_development(name) is named


@pytest.mark.parametrize("environment", sorted(set(Environment) - {Environment.DEVELOPMENT}))
async def test_elsewhere_than_in_development_nothing_is_asked(environment: str) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/shop_dev")
    with pytest.raises(NotAllowedError, match=f"PARTMAN_ENV is {environment}"):
        await replace_database(settings(nowhere, environment))


def test_another_name_is_refused_before_anything_is_asked(empty_database: Database) -> None:
    execute(empty_database.url, "CREATE TABLE t ()")
    environment = empty_database.environment | {"PARTMAN_ENV": "development"}
    refused = run("partman", "reset", "--yes", environment=environment)
    assert refused.code == NotAllowedError.exit_code, refused.output
    assert f"the database {empty_database.name}, whose name does not say" in refused.stderr
    assert query(empty_database.url, "SELECT to_regclass('t') AS t")[0]["t"]


def test_without_a_terminal_it_asks_for_yes(named_dev: Database) -> None:
    environment = named_dev.environment | {"PARTMAN_ENV": "development"}
    refused = run("partman", "reset", environment=environment)
    assert refused.code == 2, refused.output
    assert "partman reset --yes" in refused.stderr
    assert databases(named_dev) == [named_dev.name]
    assert query(named_dev.url, "SELECT to_regclass('t') AS t")[0]["t"]


async def test_the_new_one_is_empty_and_sessions_of_the_old_one_end(named_dev: Database) -> None:
    # As a killed one leaves it.
    administrator().ask(f"CREATE DATABASE {named_dev.name}_reset_new STRATEGY FILE_COPY")
    session = await asyncpg.connect(named_dev.url)
    await replace_database(settings(named_dev))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session.fetchval("SELECT 1")
    session.terminate()
    [row] = await fetch(named_dev.url, "SELECT to_regclass('t') AS t")
    assert row["t"] is None
    assert databases(named_dev) == [named_dev.name]


async def test_two_at_once(named_dev: Database) -> None:
    other = await asyncpg.connect(with_database(named_dev.url, "postgres"))
    assert await other.fetchval(fresh._LOCK, named_dev.name)
    with pytest.raises(LockHeldError, match="Another command"):
        await replace_database(settings(named_dev))
    await other.close()
    assert databases(named_dev) == [named_dev.name]


class KilledError(Exception):
    """The process has ended before a statement."""


class Dying:
    """A connection of a process that is killed before its n-th statement."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", left: int) -> None:
        self._connection, self._left = connection, left

    def _counted(self, method: Callable[..., Any], *arguments: Any) -> Any:
        if not self._left:
            raise KilledError
        self._left -= 1
        return method(*arguments)

    async def execute(self, *arguments: Any) -> Any:
        return await self._counted(self._connection.execute, *arguments)

    async def fetch(self, *arguments: Any) -> Any:
        return await self._counted(self._connection.fetch, *arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._counted(self._connection.fetchval, *arguments)

    def transaction(self) -> AbstractAsyncContextManager[None]:
        return self._connection.transaction()


async def test_a_database_of_the_name_is_there_wherever_it_is_killed(named_dev: Database) -> None:
    killed, emptied = 0, False
    connection = await asyncpg.connect(with_database(named_dev.url, "postgres"))
    try:
        while True:
            dying: Any = Dying(connection, killed)
            try:
                await fresh._replace(dying, named_dev.name, None)
                break
            except KilledError:
                killed += 1
            [row] = await fetch(named_dev.url, "SELECT to_regclass('t') AS t")
            assert row["t"] or killed > 6
            emptied = emptied or row["t"] is None
    finally:
        await connection.close()
    assert killed > 6
    assert emptied, "it was killed between the swap and its end, too"
    assert databases(named_dev) == [named_dev.name]
