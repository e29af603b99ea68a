"""Estimating times on all rows from those on a sample."""

import asyncio
from collections.abc import Iterator

import pytest

from partman.database.connection import connected
from partman.plan.server_objects import ServerObjects
from partman.plan.state import read_state
from partman.rehearsal import recorder as recording
from partman.rehearsal.recorder import RowRecorder
from partman.rehearsal.scale import Scale, lacks_checkpoint
from partman.settings import Settings
from tests.database.embedded_helpers import superuser
from tests.support import Database, execute, temporary_database


@pytest.fixture
def settings(template: Database) -> Iterator[Settings]:
    """Of a database with one partner."""
    with temporary_database(template.name) as database:
        execute(
            database.url,
            "INSERT INTO organizations (id, name, subdomain)"
            " VALUES (gen_random_uuid(), 'Org', 'org')",
            "INSERT INTO partners (organization_id, name, domain, commission_structure)"
            " SELECT id, 'Partner', 'example.com', '{}' FROM organizations",
        )
        yield Settings.load({"DATABASE_URL": database.url})


async def test_times_of_a_sample_are_estimated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that works on rows takes longer by as many rows as there are more."""
    written = iter([7.0, 1.0, 3.0])

    async def write_out(connection: object) -> float:
        return next(written)

    monkeypatch.setattr(recording, "write_out", write_out)
    async with connected(settings) as meters, connected(settings) as worker:
        state = await read_state(meters)
        oid = next(oid for oid, table in state.tables.items() if table.name == "partners")
        objects = await ServerObjects.before_trial(settings, is_live=False)
        recorder = RowRecorder(meters, objects, state, {oid: Scale(24, 240)})

        async def run(sql: str) -> None:
            async def send() -> object:
                return await worker.execute(sql)

            await recorder.statement(worker, sql, send, None)

        await recorder.prepare()
        await worker.execute("BEGIN")
        monkeypatch.setattr(recording, "_MUCH_WAL", 1 << 30)
        await run("ALTER TABLE users ADD COLUMN more int")
        monkeypatch.setattr(recording, "_MUCH_WAL", 1)
        await run("UPDATE partners SET status = 'inactive'")
        await worker.execute("ROLLBACK")
        await asyncio.sleep(0)  # the driver tells of the end in the next turn of the loop
        alter, update = recorder.statements
    assert alter.estimated == alter.seconds
    # What it left in memory takes 3 s to write; a checkpoint of nothing, 1 s.
    assert update.estimated == pytest.approx(Scale(24, 240).factor * (update.seconds + 2.0))
    longer = update.estimated - update.seconds
    [partners] = update.rows
    assert (partners.table, partners.updated) == ("partners", partners.changed)
    assert partners.locked >= update.estimated
    assert alter.locks[0].held >= alter.seconds + update.seconds + longer


async def test_a_role_that_may_not_checkpoint_is_told(settings: Settings) -> None:
    assert settings.database_url is not None
    administrator = Settings.load({"DATABASE_URL": superuser(settings.database_url)})
    async with connected(administrator) as connection:
        assert await lacks_checkpoint(connection) == []
        await connection.execute("BEGIN; SET LOCAL ROLE partman_app")
        [note] = await lacks_checkpoint(connection)
        await connection.execute("ROLLBACK")
    assert "leave out most of the writing" in note
    assert note.endswith("GRANT pg_checkpoint TO partman_app")


@pytest.mark.same_on_every_version
@pytest.mark.parametrize(
    ("copied", "total", "least", "most"),
    [
        (100, 100, 1, 1),
        (0, 100, 1, 1),
        (10, 100, 10, 10.5),
        (100_000, 2_000_000, 24, 26),
        (2, 2_000_000, 2_000_000, 2_200_000),
    ],
)
def test_the_scale_of_a_sample(copied: int, total: int, least: float, most: float) -> None:
    """More than in proportion, as an index of more rows has more levels; never less than once."""
    assert least <= Scale(copied, total).factor <= most
