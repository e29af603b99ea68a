"""Scratch databases are always dropped, and never while they are in use."""

import asyncio
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.read import read_catalog
from partman.database import embedded
from partman.database.connection import connected
from partman.database.scratch import (
    PREFIX,
    one_keeper,
    scratch_database,
    shared_scratch_database,
    sweep,
)
from partman.errors import ExitCode, PermissionDeniedError
from partman.settings import Settings
from tests.faults.processes import DEADLINE, wait_until
from tests.support import (
    ROOT,
    Database,
    as_role,
    clean_environment,
    execute,
    fetch,
    query,
    server_url,
)

HOLD = """
import asyncio, sys
from partman.database.scratch import scratch_database
from partman.settings import Settings

async def main():
    async with scratch_database(Settings.load()) as scratch:
        print(scratch.database_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def settings(url: str | None = None) -> Settings:
    return Settings.load({"DATABASE_URL": url or server_url(), "PARTMAN_ENV": "production"})


def name_of(scratch: Settings) -> str:
    assert scratch.database_url is not None
    return Database(scratch.database_url).name


def exists(name: str) -> bool:
    return bool(query(server_url(), "SELECT FROM pg_database WHERE datname = $1", name))


class Holder:
    """Another process that uses a scratch database."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=clean_environment(DATABASE_URL=server_url(), PARTMAN_ENV="production"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.name = Database(self.url).name

    def sessions(self) -> int:
        """How many of its sessions the server still has."""
        [[count]] = query(
            server_url(),
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND"
            " format('%s%s', lpad(to_hex(classid::bigint), 8, '0'),"
            " lpad(to_hex(objid::bigint), 8, '0')) = $1",
            self.name.removeprefix(PREFIX),
        )
        return int(count)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.communicate()


@pytest.fixture
def holder() -> Iterator[Holder]:
    made = Holder()
    try:
        yield made
    finally:
        made.end(signal.SIGKILL)
        execute(server_url(), f"DROP DATABASE IF EXISTS {made.name} WITH (FORCE)")


async def test_exists_for_the_block_only() -> None:
    async with scratch_database(settings()) as scratch:
        assert scratch == replace(settings(), database_url=scratch.database_url)
        connection = await asyncpg.connect(scratch.database_url)
        assert await connection.fetchval("SELECT current_database()") == name_of(scratch)
        await connection.execute("CREATE TABLE t (id int)")
        # Still connected, as an interrupted client is.
    connection.terminate()
    assert not await asyncio.to_thread(exists, name_of(scratch))


async def test_is_dropped_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        async with scratch_database(settings()) as scratch:
            raise ZeroDivisionError
    assert not await asyncio.to_thread(exists, name_of(scratch))


async def test_is_dropped_after_a_cancellation() -> None:
    made: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with scratch_database(settings()) as scratch:
            made.set_result(scratch)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    scratch = await made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await asyncio.to_thread(exists, name_of(scratch))


async def test_is_dropped_although_its_keeper_was_terminated() -> None:
    async with scratch_database(settings()) as scratch:
        ended = await asyncio.to_thread(
            query,
            server_url(),
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND"
            " lpad(to_hex(classid::bigint), 8, '0') = $1",
            name_of(scratch).removeprefix(PREFIX)[:8],
        )
        assert len(ended) == 1
    assert not await asyncio.to_thread(exists, name_of(scratch))


async def test_several_can_have_one_keeper() -> None:
    locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND" + (
        " lpad(to_hex(classid::bigint), 8, '0') = ANY ($1)"
    )
    async with one_keeper(settings()):
        async with scratch_database(settings()) as first, scratch_database(settings()) as second:
            names = [name_of(first), name_of(second)]
            numbers = [name.removeprefix(PREFIX)[:8] for name in names]
            held = await fetch(server_url(), locks, numbers)
            assert len(held) == 2
            [keeper] = {row["pid"] for row in held}
        assert not any([await asyncio.to_thread(exists, name) for name in names])
        async with scratch_database(settings()) as third:
            assert await fetch(server_url(), "SELECT pg_terminate_backend($1, 60000)", keeper)
            async with scratch_database(settings()) as fourth:
                names = [name_of(third), name_of(fourth)]
    assert not any([await asyncio.to_thread(exists, name) for name in names])


async def test_a_killed_process_database_is_dropped_by_the_next(holder: Holder) -> None:
    await asyncio.to_thread(holder.end, signal.SIGKILL)
    await asyncio.to_thread(wait_until, lambda: not holder.sessions(), "its session ends")
    assert await asyncio.to_thread(exists, holder.name), "it could not drop it"
    async with scratch_database(settings()):
        assert not await asyncio.to_thread(exists, holder.name)


async def test_a_living_process_database_is_not_dropped(
    holder: Holder, other_database: Database
) -> None:
    # From any database of the server, although advisory locks belong to one database.
    for url in (server_url(), other_database.url):
        async with scratch_database(settings(url)):
            assert await asyncio.to_thread(exists, holder.name)


async def test_concurrent_processes_keep_their_databases() -> None:
    async def work() -> str:
        async with scratch_database(settings()) as scratch:
            connection = await asyncpg.connect(scratch.database_url)
            await connection.execute("CREATE TABLE t AS SELECT 1")
            async with scratch_database(settings()):
                assert await connection.fetchval("SELECT count(*) FROM t") == 1
            await connection.close()
            return name_of(scratch)

    names = await asyncio.gather(*(work() for _ in range(6)))
    assert len(set(names)) == 6
    for name in names:
        assert not await asyncio.to_thread(exists, name)


@pytest.mark.parametrize(
    "name",
    ["partman_scratch_mine", "partman_scratch_0123456789abcde", "xpartman_scratch_" + "0" * 16],
)
async def test_a_database_with_a_similar_name_is_kept(name: str) -> None:
    await asyncio.to_thread(execute, server_url(), f"CREATE DATABASE {name}")
    try:
        async with scratch_database(settings()):
            assert await asyncio.to_thread(exists, name)
    finally:
        await asyncio.to_thread(execute, server_url(), f"DROP DATABASE {name}")


async def test_another_roles_database_is_left_to_that_role(empty_database: Database) -> None:
    role, name = f"{empty_database.name}_other", f"{PREFIX}{secrets.randbits(64):016x}"
    await asyncio.to_thread(execute, server_url(), f"CREATE ROLE {role} LOGIN CREATEDB")
    url = re.sub(r"//[^@]*@", f"//{role}@", server_url())
    try:
        await asyncio.to_thread(execute, url, f"CREATE DATABASE {name}")
        connection = await asyncpg.connect(server_url())
        assert name not in await sweep(connection)
        await connection.close()
        other = await asyncpg.connect(url)
        assert name in await sweep(other)
        await other.close()
    finally:
        await asyncio.to_thread(execute, server_url(), f"DROP ROLE {role}")


async def test_is_dropped_despite_a_session_that_force_cannot_end() -> None:
    """As an autovacuum worker: DROP DATABASE WITH (FORCE) may not, and gives up at once."""
    async with scratch_database(settings()) as scratch:
        assert scratch.database_url is not None
        superuser = as_role(scratch.database_url, "postgres")
        try:
            connection = await asyncpg.connect(
                superuser, server_settings={"idle_session_timeout": "500"}
            )
        except (asyncpg.PostgresError, OSError) as error:
            pytest.skip(f"it takes a superuser: {error}")
    connection.terminate()
    assert not await asyncio.to_thread(exists, name_of(scratch))


async def test_a_copy_has_the_grants_on_the_database(database: Database) -> None:
    """CREATE DATABASE ... TEMPLATE does not copy them."""
    await asyncio.to_thread(
        execute,
        database.url,
        f"GRANT CREATE ON DATABASE {database.name} TO partman_app WITH GRANT OPTION",
        f"REVOKE CREATE ON DATABASE {database.name} FROM CURRENT_USER",
    )
    original = await asyncpg.connect(database.url)
    expected = await read_catalog(original, bookkeeping=True)
    await original.close()
    async with scratch_database(settings(), template=database.name) as scratch:
        copy = await asyncpg.connect(scratch.database_url)
        assert compare(expected, await read_catalog(copy, bookkeeping=True)) == []
        await copy.close()


async def test_a_role_without_createdb_is_pointed_to_scratch_embedded(
    empty_database: Database,
) -> None:
    role = f"{empty_database.name}_plain"
    await asyncio.to_thread(execute, server_url(), f"CREATE ROLE {role} LOGIN")
    try:
        url = re.sub(r"//[^@]*@", f"//{role}@", server_url())
        with pytest.raises(PermissionDeniedError) as refused:
            async with scratch_database(settings(url)):
                pass
        assert refused.value.exit_code == ExitCode.PERMISSION
        assert "--scratch embedded" in str(refused.value)
        assert role in str(refused.value)
    finally:
        await asyncio.to_thread(execute, server_url(), f"DROP ROLE {role}")


async def test_works_on_a_read_only_database(empty_database: Database) -> None:
    await asyncio.to_thread(
        execute,
        server_url(),
        f"ALTER DATABASE {empty_database.name} SET default_transaction_read_only = on",
    )
    async with scratch_database(settings(empty_database.url)) as scratch:
        assert await asyncio.to_thread(exists, name_of(scratch))


async def test_creating_one_ignores_the_statement_timeout(
    empty_database: Database, other_database: Database
) -> None:
    limit = f"ALTER DATABASE {empty_database.name} SET statement_timeout = 400"
    await asyncio.to_thread(execute, server_url(), limit)
    # CREATE DATABASE waits until no session is connected to the template.
    in_the_way = await asyncpg.connect(
        other_database.url, server_settings={"idle_session_timeout": "1000"}
    )
    async with scratch_database(
        settings(empty_database.url), template=other_database.name
    ) as scratch:
        assert await asyncio.to_thread(exists, name_of(scratch))
    in_the_way.terminate()


async def test_its_keeper_ignores_the_idle_session_timeout(empty_database: Database) -> None:
    limit = f"ALTER DATABASE {empty_database.name} SET idle_session_timeout = 100"
    await asyncio.to_thread(execute, server_url(), limit)
    async with scratch_database(settings(empty_database.url)) as scratch:
        # One that has been idle for a shorter time than the keeper is ended.
        ended = asyncio.Event()
        another = await asyncpg.connect(empty_database.url)
        another.add_termination_listener(lambda _: ended.set())
        await asyncio.wait_for(ended.wait(), DEADLINE)
        async with scratch_database(settings()):
            assert await asyncio.to_thread(exists, name_of(scratch))


async def test_can_be_created_on_the_embedded_server(tmp_path: Path) -> None:
    elsewhere = replace(settings("postgresql://nobody@127.0.0.1:1/x"), data_directory=tmp_path)
    try:
        async with scratch_database(elsewhere.on_embedded_server) as scratch:
            server, made = embedded.status(tmp_path).url, scratch.database_url
            assert urlsplit(made or "").query == urlsplit(server or "").query
            connection = await asyncpg.connect(made)
            assert await connection.fetchval("SELECT current_user") == "partman"
            await connection.close()
    finally:
        await asyncio.to_thread(embedded.stop, tmp_path)


async def test_a_shared_database_is_built_once_and_dropped_by_the_last() -> None:
    number, built = secrets.randbits(64), list[str]()

    async def build(scratch: Settings) -> None:
        built.append(name_of(scratch))

    everybody_is_in = asyncio.Barrier(4)

    async def share() -> str:
        async with shared_scratch_database(settings(), number, build) as name:
            await everybody_is_in.wait()
            async with scratch_database(settings(), template=name):
                pass
        return name

    async with asyncio.timeout(DEADLINE):
        names = set(await asyncio.gather(*(share() for _ in range(4))))
    assert names == set(built) == {f"{PREFIX}{number:016x}"}
    assert len(built) == 1
    assert not await asyncio.to_thread(exists, built[0])


async def test_a_shared_database_is_kept_while_one_session_holds_it() -> None:
    number = secrets.randbits(64)
    async with shared_scratch_database(settings(), number, _nothing) as name:
        async with shared_scratch_database(settings(), number, _nothing):
            pass
        async with connected(settings(), "tests") as connection:
            assert name not in await sweep(connection)
        assert await asyncio.to_thread(exists, name)


async def test_what_a_killed_session_shared_is_dropped_by_the_next() -> None:
    number = secrets.randbits(64)
    async with shared_scratch_database(settings(), number, _nothing) as name:
        await _kill_keepers(number)
        async with connected(settings(), "tests") as connection:
            await asyncio.to_thread(wait_until, lambda: not _keepers(number), "the lock was free")
            assert name in await sweep(connection)


@pytest.mark.parametrize("killed", [True, False])
async def test_a_half_built_shared_database_is_built_anew(killed: bool) -> None:
    number, built = secrets.randbits(64), list[str]()

    async def fail(scratch: Settings) -> None:
        await fetch(str(scratch.database_url), "CREATE TABLE half ()")
        if killed:
            await _kill_keepers(number)
            await asyncio.to_thread(wait_until, lambda: not _keepers(number), "the lock was free")
        raise ZeroDivisionError

    async def build(scratch: Settings) -> None:
        await fetch(str(scratch.database_url), "CREATE TABLE half ()")
        built.append(name_of(scratch))

    with pytest.raises(ZeroDivisionError):
        async with shared_scratch_database(settings(), number, fail):
            raise AssertionError
    async with shared_scratch_database(settings(), number, build) as name:
        assert built == [name]


async def _nothing(scratch: Settings) -> None:
    pass


def _keepers(number: int) -> list[asyncpg.Record]:
    return query(
        server_url(),
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND lpad(to_hex(classid::bigint), 8, '0') || lpad(to_hex(objid::bigint), 8, '0') = $1",
        f"{number:016x}",
    )


async def _kill_keepers(number: int) -> None:
    for keeper in await asyncio.to_thread(_keepers, number):
        await asyncio.to_thread(
            query, server_url(), "SELECT pg_terminate_backend($1)", keeper["pid"]
        )
