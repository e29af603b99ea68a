"""What `partman rehearse` is asked for: refusals, a database that is given, conditions, rates."""

import asyncio

import pytest

from partman.database.connection import connected
from partman.rehearsal.digest import differences, read_digest
from partman.rehearsal.judge import FailOn
from partman.rehearsal.transfer import Pace
from partman.settings import Settings
from tests.project import Project
from tests.support import Database, query

pytestmark = pytest.mark.same_on_every_version


def test_refusals_on_the_command_line(project: Project) -> None:
    project.write("1", ["CREATE TABLE t (id int PRIMARY KEY)"])
    for arguments, code, said in (
        (["--on", project.database.url], 1, "names the database of the project itself"),
        (["--sample", "5%"], 2, "the engine has no tenancy"),
        (["--organization", "acme"], 2, "the engine has no tenancy"),
        (["--mask"], 1, "no class marks anything"),
        (["--sample", "0%"], 2, "is not a percentage"),
        (["--sample", "5", "--organization", "x"], 2, "give one of them"),
        (["--dump", "x", "--mask"], 2, "for a copy that partman makes"),
        (["--fail-on", "blocks-writes>soon"], 2, "is not a time"),
        (["--fail-on", "loses-data>1s"], 2, "has no time"),
    ):
        completed = project.partman("rehearse", *arguments)
        assert completed.code == code, completed.output
        assert said in " ".join(completed.output.replace("│", "").split())


def test_rehearses_on_a_database_that_is_given(project: Project, other_database: Database) -> None:
    project.write("1", ["CREATE TABLE t (id int PRIMARY KEY)"])
    completed = project.partman("rehearse", PARTMAN_REHEARSE_ON=other_database.url)
    assert completed.code == 0, completed.output
    assert "On a database of yours" in completed.stdout
    assert query(other_database.url, "SELECT FROM t") == []
    assert query(project.database.url, "SELECT to_regclass('t') AS t")[0]["t"] is None
    assert project.forwards().code == 0
    nothing = project.partman("rehearse")
    assert (nothing.code, nothing.stdout) == (0, "nothing pending  The schema version is 1.\n")


@pytest.mark.parametrize(
    ("text", "level", "seconds"),
    [
        ("blocks-writes>1s", "BLOCKS_WRITES", 1.0),
        ("blocks-reads > 250ms", "BLOCKS_READS", 0.25),
        ("blocks-writes>2min", "BLOCKS_WRITES", 120.0),
        ("loses-data", "LOSES_DATA", None),
        ("brief-lock", "BRIEF_LOCK", None),
    ],
)
def test_reads_a_condition(text: str, level: str, seconds: float | None) -> None:
    found = FailOn.parsed(text)
    assert (found.level.name, found.seconds) == (level, seconds)


@pytest.mark.parametrize("text", ["", "safe-live", "depends-on-rows", "blocks-writes>", "x>1s"])
def test_refuses_a_condition(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|not a time"):
        FailOn.parsed(text)


async def test_a_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the waits that are asked for, not by a clock."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    told: list[str] = []
    pace = Pace(1000.0, 100, told.append)
    for _ in range(3):
        await pace.passed(b"0\n" * 5000)
    assert 25 < waits[-1] <= 30
    assert told[0].startswith("Copying: 5,000 of about 5,000 rows, ")


async def test_digests_see_values_that_change_places(empty_database: Database) -> None:
    async with connected(Settings.load({"DATABASE_URL": empty_database.url})) as connection:
        await connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text, b text); CREATE TABLE u (id int);"
            "INSERT INTO t VALUES (1, 'x', 'p'), (2, 'y', 'q'), (3, NULL, 'r');"
            "INSERT INTO u VALUES (1), (2)"
        )
        before = await read_digest(connection)
        assert list(differences(before, await read_digest(connection))) == []
        await connection.execute(
            "UPDATE t SET a = CASE id WHEN 1 THEN 'y' WHEN 2 THEN 'x' END; DELETE FROM u"
            " WHERE id = 1; ALTER TABLE t RENAME b TO c; ALTER TABLE t ADD d int"
        )
        after = await read_digest(connection)
    changed = "the values of t.a are not those from before"
    assert list(differences(before, after)) == [changed, "u has 1 rows instead of 2"]
    assert list(differences(before, after, rewritten=["t.a", "u"])) == []
    assert list(differences(before, after, only_counted=["t"])) == ["u has 1 rows instead of 2"]
