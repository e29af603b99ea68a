"""``partman seed dev`` against a real database, with real processes and real kills."""

import json
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from partman.errors import PermissionDeniedError
from partman.progress import Progress
from partman.settings import Settings
from seeds import batches, cli, generate, jobs, load, worker
from seeds.cli import app
from seeds.generate import SeedPlan
from seeds.identity import FIRST_ID, LAST_ID, seeded_id
from seeds.rows import ROW_TYPES
from tests.database.seeds_helpers import (
    AS_OF,
    FRESH,
    SMALL,
    Connection,
    contents,
    counts,
    kill,
    loading_stops,
    nobody_else_is_connected,
    seed,
    started,
    until,
    waiting_for,
)
from tests.shared import unique_name
from tests.support import Database, query, run

pytestmark = pytest.mark.same_on_every_version


async def seeded_contents(connection: Connection) -> dict[str, str]:
    return await contents(connection, f"id BETWEEN '{FIRST_ID}' AND '{LAST_ID}'")


def test_seeding_fills_all_six_tables_and_says_so(database: Database) -> None:
    seeded = seed(database, "dev", "--organizations", "2", "--opportunities", "40")
    assert (seeded.code, seeded.stderr) == (0, "")
    assert seeded.stdout.startswith("Seeded (seed 1, as of ")

    status = json.loads(seed(database, "status", "--json").stdout)
    assert status["seeded"] is True
    assert status["seed"] == 1
    assert set(status["rows"]) == set(ROW_TYPES)
    assert status["no_generator"] == []
    for table, rows in status["rows"].items():
        assert rows > 0
        assert query(database.url, f"SELECT count(*) FROM {table}")[0][0] == rows + FRESH[table]
        assert f"{rows} {table.replace('_', ' ')}" in seeded.stdout
    assert status["rows"]["opportunities"] == 40


def test_partman_seed_is_the_same_command(database: Database) -> None:
    seeded = run("partman", "seed", "dev", environment=database.environment)
    assert (seeded.code, seeded.stderr) == (0, "")
    assert "Already seeded" in seed(database, "dev").stdout


async def test_no_table_is_read_for_each_row_that_is_inserted(connection: Connection) -> None:
    """However few rows the tables had when foreign keys' checks were planned."""
    await connection.execute("ANALYZE")
    before = await scans(connection)
    await load.seed(connection, replace(SMALL, organizations=20, opportunities=200))
    rows = sum((await counts(connection)).values())
    assert rows > 1000
    assert await scans(connection) - before < rows / 10


async def scans(connection: Connection) -> int:
    """Return how often a table was read from its beginning to its end."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    found: int = await connection.fetchval("SELECT sum(seq_scan)::int FROM pg_stat_user_tables")
    return found


async def test_seeding_twice_changes_nothing(database: Database, connection: Connection) -> None:
    assert seed(database, "dev", "--opportunities", "40").code == 0
    before = await contents(connection)
    again = seed(database, "dev", "--seed", "2")
    assert again.code == 0
    assert again.stdout.startswith("Already seeded (seed 1): ")
    assert again.stdout.endswith("Ignored, because the rows are there already: --seed.\n")
    assert await contents(connection) == before


async def test_the_same_seed_and_day_give_the_same_bytes(connection: Connection) -> None:
    found = []
    for plan in (SMALL, SMALL, SeedPlan(2, AS_OF, 2, 40)):
        await load.seed(connection, plan, reset=True)
        found.append(await seeded_contents(connection))
    assert found[0] == found[1]
    assert all(found[0].values())
    assert found[0] != found[2]


async def test_the_default_reference_date_is_today(
    database: Database, connection: Connection
) -> None:
    before = await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    seeded = seed(database, "dev", "--opportunities", "10")
    after = await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    assert any(f"as of {day})" in seeded.stdout for day in (before, after))
    # Nothing lies in the future, however early in the day it is.
    assert await connection.fetchval("SELECT max(triggered_at) < now() FROM alerts")


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ("test", ("dev",)),
        ("staging", ("dev",)),
        ("production", ("dev",)),
        ("production", ("dev", "--reset")),
        ("production", ("clear", "--yes")),
    ],
)
def test_elsewhere_than_in_development_it_skips_without_connecting(
    environment: str, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/nothing"
        skipped = run(
            *("python", "-m", "seeds", *command),
            environment={"DATABASE_URL": url, "PARTMAN_ENV": environment},
        )
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (skipped.code, skipped.stdout) == (0, "")
    assert skipped.stderr.count("\n") == 1
    assert skipped.stderr.startswith("WARNING Skipped")
    assert environment in skipped.stderr


def test_elsewhere_than_in_development_it_starts_no_server(tmp_path: Path) -> None:
    data = tmp_path / "server"
    skipped = run(
        *("python", "-m", "seeds", "dev"),
        environment={"PARTMAN_ENV": "test", "PARTMAN_DATA_DIR": str(data)},
    )
    assert skipped.code == 0
    assert "Skipped" in skipped.stderr
    assert not data.exists()


def test_the_warning_is_one_json_object_where_logs_are_json(database: Database) -> None:
    skipped = seed(database, "dev", PARTMAN_ENV="staging", PARTMAN_LOG_FORMAT="json")
    entry = json.loads(skipped.stderr)
    assert (entry["level"], entry["environment"]) == ("warning", "staging")


@pytest.mark.parametrize("command", [("dev",), ("status",), ("clear", "--yes")])
def test_without_the_schema_the_error_says_what_to_run(
    empty_database: Database, command: tuple[str, ...]
) -> None:
    refused = seed(empty_database, *command)
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert "Run: piccolo migrations forwards all" in refused.stderr


async def test_a_pending_migration_stops_seeding_but_not_clearing(
    database: Database, connection: Connection
) -> None:
    await load.seed(connection, SMALL)
    await connection.execute(
        "DELETE FROM migration WHERE id = (SELECT max(id) FROM migration WHERE app_name='partman')"
    )
    refused = seed(database, "dev", "--reset")
    assert refused.code == 1
    assert "Pending migrations: 1" in refused.stderr
    assert "Run: piccolo migrations forwards all" in refused.stderr
    assert seed(database, "clear", "--yes").code == 0
    assert await counts(connection) == FRESH


async def test_a_seeding_that_is_killed_half_way_leaves_nothing(
    database: Database, connection: Connection
) -> None:
    async with loading_stops(connection) as stopped, started(database, "dev") as process:
        await until(stopped)
        await kill(process)
    await until(lambda: nobody_else_is_connected(connection))
    assert await counts(connection) == FRESH

    assert seed(database, "dev").stdout.startswith("Seeded")


async def test_of_two_at_once_one_seeds_and_the_other_finds_it_seeded(
    database: Database, connection: Connection
) -> None:
    async with AsyncExitStack() as processes:
        async with loading_stops(connection) as stopped:
            first = await processes.enter_async_context(started(database, "dev", "--seed", "1"))
            await until(stopped)
            second = await processes.enter_async_context(started(database, "dev", "--seed", "2"))
            await until(lambda: waiting_for(connection, load.ADVISORY_LOCK))
        outputs = [(await process.communicate())[0].decode() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert outputs[0].startswith("Seeded (seed 1")
    assert outputs[1].startswith("Already seeded (seed 1)")


async def test_without_the_default_organization_none_is_made_in_its_place(
    connection: Connection,
) -> None:
    await connection.execute("DELETE FROM organizations")
    await load.seed(connection, SMALL)
    ids = await connection.fetch("SELECT id FROM organizations ORDER BY id")
    assert [row["id"] for row in ids] == [seeded_id("organizations", 1, n, 0) for n in (0, 1)]
    assert await connection.fetchval("SELECT count(*) FROM partners WHERE name = 'Lacework'") == 2


async def test_progress_is_told_after_each_batch(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS", 7)
    monkeypatch.setattr(generate, "PORTION", 7)
    progress: list[int] = []
    await load.seed(connection, SMALL, on_progress=progress.append)
    assert progress == [7, 7, 6, 7, 7, 6]
    assert await connection.fetchval("SELECT count(*) FROM opportunities") == 40


async def test_any_number_of_jobs_inserts_the_same_rows(connection: Connection) -> None:
    found = []
    for number in (1, 2):
        told: list[int] = []
        await load.seed(connection, SMALL, reset=True, jobs=number, on_progress=told.append)
        assert sum(told) == SMALL.opportunities
        found.append(await seeded_contents(connection))
    assert found[0] == found[1]
    assert all(found[0].values())


[A_BATCH] = batches.batches(SMALL, [1])
A_HEADER = worker.header(A_BATCH)


@pytest.mark.parametrize(
    "written",
    [b"", A_HEADER[:9], A_HEADER + b"5eed", A_HEADER + b"".join(A_BATCH.texts.values())],
    ids=["before-its-first-batch", "within-a-header", "within-a-batch", "after-its-last-batch"],
)
async def test_nothing_stays_of_jobs_of_which_one_is_killed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    """One of two processes writes this, and is killed."""
    program = (
        "import json, os, sys; json.load(sys.stdin)['job'] or sys.exit(); "
        f"sys.stdout.buffer.write(bytes.fromhex('{written.hex()}')); "
        "sys.stdout.flush(); os.kill(os.getpid(), 9)"
    )
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-I", "-S", "-c", program))
    with pytest.raises(jobs.JobFailedError, match=r"exit code -9\. Nothing was seeded"):
        await load.seed(connection, SMALL, jobs=2)
    assert await counts(connection) == FRESH


async def test_rows_that_row_level_security_hides_are_an_error_not_an_absence(
    connection: Connection,
) -> None:
    await load.seed(connection, SMALL)
    role = unique_name()
    await connection.execute(f"CREATE ROLE {role}; GRANT {role} TO CURRENT_USER")
    try:
        await connection.execute(
            f"GRANT USAGE ON SCHEMA public TO {role};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
        )
        await connection.execute(f"SET ROLE {role}")
        for attempt in (
            load.status(connection),
            load.clear(connection),
            load.seed(connection, SMALL),
        ):
            with pytest.raises(PermissionDeniedError, match="row-level security"):
                await attempt
        await connection.execute("RESET ROLE")
        assert (await load.status(connection)).is_seeded
    finally:
        await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_what_is_inserted_is_told_to_the_display_of_progress(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    class Counting(Progress):
        def advance(self, what: str, number: int = 1) -> None:
            told.append(number)

    monkeypatch.setattr(cli, "Progress", Counting)
    settings = Settings.load({"DATABASE_URL": database.url, "PARTMAN_ENV": "development"})
    await cli._seed(settings, SeedPlan(1, AS_OF, 2, 40), reset=False)
    assert sum(told) == 40


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", "-1"),
        ("--seed", "16384"),
        ("--organizations", "0"),
        ("--jobs", "0"),
        ("--as-of", "1492-10-12"),
    ],
)
def test_numbers_without_room_are_a_usage_error(arguments: tuple[str, str]) -> None:
    nowhere = {"PARTMAN_ENV": "development", "DATABASE_URL": "postgresql://127.0.0.1:1/nothing"}
    refused = CliRunner().invoke(app, ["dev", *arguments], env=nowhere)
    assert refused.exit_code == 2
    assert arguments[0] in refused.output
