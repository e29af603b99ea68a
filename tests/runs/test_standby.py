"""A standby is refused, and a failover in the middle of a run leaves one of the two states."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.migration.ledger.readiness import READ_SNAPSHOT
from tests import shared
from tests.faults.boundaries import WholeState, state, whole_state
from tests.faults.processes import Zygote, wait_until
from tests.faults.sessions import session, wait_for_a_waiting_run
from tests.project import Project
from tests.runs.failover import FailoverProxy
from tests.runs.servers import Pair, Server, find_programs, running_pair
from tests.support import MIGRATIONS, execute, query, run

pytestmark = pytest.mark.same_on_every_version

FORWARDS = ("piccolo", "migrations", "forwards", "all")
CUT_OFF = "ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'"


@pytest.fixture(scope="module")
def base() -> Server:
    """A server with an empty database, to copy; it is stopped. One worker of the run makes it."""
    # A short path, for a socket's is limited; and where the keeper finds what still runs.
    with tempfile.TemporaryDirectory(dir=shared.folder()) as folder:
        programs = find_programs(Path(folder))
    if programs is None:
        pytest.skip("NO STANDBY WAS TRIED: no server's programs, and no postgresql-15")

    def make() -> str:
        made = Path(tempfile.mkdtemp(dir=shared.folder())) / "base"
        Server(made, programs).make()
        return str(made)

    return Server(Path(shared.once("a server to copy", make)), programs)


@pytest.fixture(scope="module")
def migrated(base: Server) -> Iterator[Pair]:
    """A pair with some migrations applied."""
    with (
        tempfile.TemporaryDirectory(dir=shared.folder()) as folder,
        running_pair(base, Path(folder)) as pair,
    ):
        ended = run(
            "piccolo", "migrations", "forwards", "partman", MIGRATIONS[2],
            environment=pair.primary.database.environment,
        )  # fmt: skip
        assert ended.code == 0, ended.output
        pair.wait_for_standby()
        yield pair


REFUSED = {
    "piccolo migrations forwards all": FORWARDS,
    "piccolo migrations backwards": (
        "piccolo", "migrations", "backwards", "partman", MIGRATIONS[2], "--auto_agree",
    ),
    "partman migrate": ("partman", "migrate"),
    "partman adopt": ("partman", "adopt"),
    "partman seed dev": ("partman", "seed", "dev"),
    "partman drift": ("partman", "drift"),
}  # fmt: skip


@pytest.fixture(scope="module")
def before(migrated: Pair) -> WholeState:
    return whole_state(migrated.standby.database.url)


@pytest.mark.parametrize("command", REFUSED)
def test_a_standby_is_refused_in_one_line(migrated: Pair, before: WholeState, command: str) -> None:
    standby = migrated.standby.database
    ended = run(*REFUSED[command], environment=standby.environment)
    assert ended.code == 6, ended.output
    *log, line = ended.stderr.splitlines()
    assert all(each.startswith("INFO ") for each in log)
    assert line.startswith("partman: The server is a standby, which can only be read. Nothing was")
    assert ("--scratch embedded" in line) is (command == "partman drift")
    assert "DATABASE_URL to the primary" in line
    assert whole_state(standby.url) == before


def test_a_probe_of_a_standby_trusts_no_snapshot(migrated: Pair) -> None:
    """Its text would leave out which transactions are running."""
    assert query(migrated.standby.database.url, READ_SNAPSHOT)[0][0] is None
    assert query(migrated.primary.database.url, READ_SNAPSHOT)[0][0]


READ = {
    "status": (1, "pending"),
    "history": (0, MIGRATIONS[0]),
    "drift --scratch embedded": (0, "no difference"),
    "check --scratch embedded": (1, ""),
}


@pytest.mark.parametrize("command", READ)
def test_a_standby_can_be_read(migrated: Pair, command: str) -> None:
    standby = migrated.standby.database
    # Where the keeper stops the server that has the scratch database.
    environment = standby.environment | {"PARTMAN_DATA_DIR": str(shared.folder())}
    ended = run("partman", *command.split(), environment=environment)
    code, said = READ[command]
    assert ended.code == code, ended.output
    assert said in ended.output
    assert "read-only" not in ended.output


@pytest.fixture
def pair(base: Server) -> Iterator[Pair]:
    """A pair with an empty database."""
    with (
        tempfile.TemporaryDirectory(dir=shared.folder()) as folder,
        running_pair(base, Path(folder)) as running,
    ):
        yield running


def _project(folder: Path, pair: Pair, zygote: Zygote) -> Project:
    execute(pair.primary.database.url, "CREATE TABLE big (id int)", "INSERT INTO big VALUES (1)")
    project = Project.create(folder, pair.primary.database, zygote)
    project.write("1", ["CREATE TABLE first ()"])
    project.write("2", ["CREATE TABLE second ()", "ALTER TABLE big ADD COLUMN more int"])
    return project


def _columns(server: Server) -> list[str]:
    """What the new primary has of the two migrations."""
    return [
        row[0]
        for row in query(
            server.database.url,
            "SELECT relname FROM pg_class WHERE relname IN ('first', 'second') UNION ALL"
            " SELECT attname FROM pg_attribute WHERE attname = 'more' ORDER BY 1",
        )
    ]


def test_a_backfill_waits_for_a_standby_that_is_behind(
    tmp_path: Path, pair: Pair, zygote: Zygote
) -> None:
    execute(
        pair.primary.database.url,
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t SELECT generate_series(1, 14)",
    )
    pair.wait_for_standby()
    project = Project.create(tmp_path, pair.primary.database, zygote)
    pace = "pace=Pace(rows=2, portion=0.001, pause=0.3, replication_lag=0.2)"
    more = "from partman.migration import Pace\nmanager.online()\n"
    project.write("1", [], more=f"{more}manager.backfill('t', 'n = 0', pace=Pace(rows=2))")
    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert "How far the standbys are behind is hidden from this role" in ended.stderr

    pair.primary.execute("GRANT pg_read_all_stats TO partman")
    project.write("2", [], more=f"{more}manager.backfill('t', 'n = 1', {pace})")
    pair.standby.execute("SELECT pg_wal_replay_pause()")
    process = zygote.start(*FORWARDS, environment=project.environment)
    process.wait_for("The backfill of t waits: a standby is behind")
    pair.standby.execute("SELECT pg_wal_replay_resume()")
    ended = process.wait()
    assert ended.code == 0, ended.output
    assert "The backfill of t goes on." in ended.stderr
    pair.wait_for_standby()
    assert query(pair.standby.database.url, "SELECT count(*) FROM t WHERE n = 1")[0][0] == 14


def test_a_failover_in_the_middle_of_a_migration_rolls_it_back(
    tmp_path: Path, pair: Pair, zygote: Zygote
) -> None:
    project = _project(tmp_path, pair, zygote)
    with FailoverProxy(pair) as proxy:
        environment = project.environment | {
            "DATABASE_URL": proxy.url,
            "PARTMAN_LOCK_TIMEOUT": "30",
        }
        with session(pair.primary.database.url, "BEGIN", "LOCK TABLE big"):
            ended = zygote.start(*FORWARDS, environment=environment)
            wait_for_a_waiting_run(pair.primary.database.url)
            pair.wait_for_standby()
            proxy.fail_over()
            completed = ended.wait()
    assert completed.code == 4, completed.output
    assert "The connection was lost" in completed.stderr
    assert "The migration was rolled back; the database is as it was" in completed.stderr
    assert _columns(pair.standby) == ["first"]
    left = state(pair.standby.database.url)
    assert left.ledger == ("1",)

    again = project.forwards(DATABASE_URL=pair.standby.database.url)
    assert again.code == 0, again.output
    assert _columns(pair.standby) == ["first", "more", "second"]
    outcomes = [outcome for _, _, outcome in state(pair.standby.database.url).history]
    assert sorted(outcomes) == ["done", "done", "failed"]


@pytest.mark.parametrize("has_arrived", [True, False], ids=["replicated", "not_replicated"])
def test_a_failover_at_the_commit_is_told_as_the_new_primary_has_it(
    tmp_path: Path, pair: Pair, zygote: Zygote, has_arrived: bool
) -> None:
    """The commit is done on the primary, and the answer is lost with it."""
    project = _project(tmp_path, pair, zygote)
    project.piccolo("forwards", "extra", "1")
    pair.wait_for_standby()
    if has_arrived:
        pair.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        pair.primary.execute("SELECT pg_reload_conf()")
    else:
        pair.standby.execute(CUT_OFF)
        pair.standby.execute("SELECT pg_reload_conf()")
        cut_off = "SELECT FROM pg_stat_wal_receiver"
        wait_until(lambda: not query(pair.standby.database.url, cut_off), "it did not stream")
    with FailoverProxy(pair, at_commit=1) as proxy:
        ended = project.forwards(DATABASE_URL=proxy.url)
    assert ended.code == 4, ended.output
    assert "The connection was lost while 2 was being committed." in ended.stderr
    assert ("It was committed and recorded." in ended.stderr) is has_arrived
    assert ("It was rolled back." in ended.stderr) is not has_arrived
    assert _columns(pair.standby) == (["first", "more", "second"] if has_arrived else ["first"])
    assert state(pair.standby.database.url).ledger == (("1", "2") if has_arrived else ("1",))
    again = project.forwards(DATABASE_URL=pair.standby.database.url)
    assert again.code == 0, again.output
