"""A database that the oldest migration made is brought to the newest with its rows."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from partman.migration.ledger.files import migration_files
from partman.migration.verification.row_contents import Contents, read_contents, touched
from seeds.rows_for_verify import fill
from tests.faults.processes import Zygote
from tests.support import MIGRATIONS, SIX_TABLES, Database

LANDED = Path(__file__).with_name("landed_migrations.txt")


@pytest.mark.same_on_every_version
def test_no_migration_that_has_landed_was_edited_or_removed() -> None:
    lines = LANDED.read_text("utf-8").splitlines()
    landed = [tuple(line.split()) for line in lines if not line.startswith("#")]
    found = [(file.id, file.checksum) for file in migration_files()]
    assert found[: len(landed)] == landed, "add a migration instead"
    assert found == landed, f"add the new migrations to {LANDED.name}"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([("partman", migration) for migration in MIGRATIONS[1:]], id="one by one"),
        pytest.param([("all",)], id="all at once"),
    ],
)
def test_rows_of_the_oldest_schema_are_kept(
    empty_database: Database, zygote: Zygote, steps: list[tuple[str, ...]]
) -> None:
    def forwards(*which: str) -> None:
        done = zygote.run(
            *("piccolo", "migrations", "forwards", *which), environment=empty_database.environment
        )
        assert done.code == 0, done.output

    forwards("partman", MIGRATIONS[0])
    before = asyncio.run(contents(empty_database, filled=True))
    assert {table.name for table in before.values() if len(table.rows) > 1} == SIX_TABLES
    for step in steps:
        forwards(*step)
        after = asyncio.run(contents(empty_database))
        assert touched(before, after, exactly=False) == [], step
        assert before.keys() <= after.keys(), step
    drift = zygote.run("partman", "drift", environment=empty_database.environment)
    assert drift.code == 0, drift.output


async def contents(database: Database, *, filled: bool = False) -> Contents:
    connection = await asyncpg.connect(database.url)
    try:
        if filled:
            await fill(connection)
        return await read_contents(connection)
    finally:
        await connection.close()
