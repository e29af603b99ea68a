"""A backfill changes each row exactly once, however often it is killed, and blocks nobody."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from partman.distribution.session import session as distributing
from partman.errors import PreflightError
from partman.settings import Settings
from tests.faults.boundaries import state
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Process, Zygote, wait_until
from tests.faults.sessions import session
from tests.project import Project, applied_once
from tests.psql import run_script
from tests.runs.terminating import TerminatingProxy
from tests.summary import Record, count, stride
from tests.support import Completed, execute, query

pytestmark = pytest.mark.same_on_every_version

FORWARDS = ("piccolo", "migrations", "forwards", "all")
ROWS = 40
KEYS = {
    "int": ("id int", "i - 20"),
    "bigint": ("id bigint", "i * 9007199254740993"),
    "uuid": ("id uuid", "md5(i::text)::uuid"),
    "text": ("id text", "chr(40 + i) || E'\\\\\\'' || ':x\"' || i % 3"),
    "text_c": ('id text COLLATE "C"', "chr(60 + i * 7)"),
    "varchar": ("id varchar(20)", "'é' || i"),
    "bpchar": ("id char(9)", "i"),
    "date": ("id date", "date '1999-12-20' + i * 5"),
    "timestamptz": ("id timestamptz", "timestamptz '2026-10-25 00:50Z' + i * interval '1:00:01.5'"),
    "stamp": ("id timestamp(6)", "timestamp '2026-02-03' + i * interval '1.000001'"),
    "span": ("id interval", "i * interval '1 mon -3 d 1:00'"),
    "float8": ("id float8", "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' ELSE 0.1 * i END"),
    "number": ("id numeric", "i / 3.0"),
    "bytes": ("id bytea", "decode(lpad(to_hex(i * 6), 4, '0'), 'hex')"),
    "inet": ("id inet", "('10.0.' || i || '.1/' || 8 + i % 20)::inet"),
    "domain": ('id "odd domain"', "i"),
    "enum": ("id size", "('{b,a,c}'::size[])[i]"),
    "bool": ("id bool", "i = 1"),
    "array": ("id int[]", "ARRAY[i % 4, i]"),
    "Of Two": ("a text, id int", "'x' || i % 3, i"),
    "of_three": ('a date, "B c" uuid, id numeric', "current_date - i % 2, md5(i::text)::uuid, i"),
}
"""Primary keys, and the values of the rows."""
FEW = {"enum": 3, "bool": 2}


def table(key: str) -> str:
    return f'"k {key}"'


def make_tables(project: Project) -> None:
    statements = ['CREATE DOMAIN "odd domain" AS int', "CREATE TYPE size AS ENUM ('b', 'a', 'c')"]
    for key, (columns, values) in KEYS.items():
        names = [each.rpartition('"')[0] + '"' if '"B' in each else each.split()[0]
                 for each in columns.split(", ")]  # fmt: skip
        statements += [
            f"CREATE TABLE {table(key)} ({columns}, n int DEFAULT 0, PRIMARY KEY"
            f" ({', '.join(name.strip() for name in names)}))",
            f"INSERT INTO {table(key)} SELECT {values}"
            f" FROM generate_series(1, {FEW.get(key, ROWS)}) AS i",
        ]
    project.write("0", statements)  # a scratch database has the tables from here


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Project]:
    with applied_once("keys of backfills", make_tables, tmp_path) as project:
        yield project


def backfills(pace: str = "rows=3, portion=5") -> str:
    return "from partman.migration import Pace\nmanager.online()\n" + "".join(
        f"manager.backfill({table(key)!r}, 'n = n + 1', 'n = n - 1', pace=Pace({pace}))\n"
        for key in KEYS
    )


def changed(project: Project, to: int) -> None:
    """Check that every row of every table was changed once."""
    counts = (f"SELECT '{key}', n, count(*) FROM {table(key)} GROUP BY n" for key in KEYS)
    rows = query(project.database.url, " UNION ALL ".join(counts))
    assert {tuple(row) for row in rows} == {(key, to, FEW.get(key, ROWS)) for key in KEYS}


def test_keys_of_every_type(keys: Project) -> None:
    # A session that prints and reads dates otherwise reads the positions all the same.
    execute(
        keys.database.url,
        f"ALTER DATABASE {keys.database.name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {keys.database.name} SET intervalstyle = 'sql_standard'",
        f"ALTER DATABASE {keys.database.name} SET timezone = 'Europe/Prague'",
        f"ALTER DATABASE {keys.database.name} SET extra_float_digits = -4",
    )
    keys.write("1", [], more=backfills())
    ended = keys.forwards()
    assert ended.code == 0, ended.output
    changed(keys, 1)
    assert f"done, {ROWS} rows in " in ended.stdout
    note = query(keys.database.url, "SELECT changes, steps FROM migration_history ORDER BY id")[1]
    assert f'"k of_three": {ROWS} rows updated' in note["changes"]
    assert note["steps"] == len(KEYS)

    ended = keys.piccolo("backwards", "extra", "1", "--auto_agree")
    assert ended.code == 0, ended.output
    changed(keys, 0)


@pytest.mark.parametrize("how", ["killed", "cut", "terminated"])
def test_each_row_is_changed_once_however_it_ends(
    zygote: Zygote, keys: Project, how: str, record_property: Record
) -> None:
    keys.write("1", [], more=backfills("rows=5, portion=5"))
    points = range(40, 800, stride(200, 10))
    for point in points:
        running: Future[Process] = Future()

        def cut(running: Future[Process] = running) -> None:
            if how == "killed":
                running.result().kill()

        if how == "terminated":
            proxy: CuttingProxy = TerminatingProxy(
                keys.database, at_answer=point, terminates=True, cut=cut
            )
        else:
            proxy = CuttingProxy(keys.database, at_answer=point, of_first=True, cut=cut)
        with proxy:
            environment = keys.environment | {"DATABASE_URL": proxy.url}
            process = zygote.start(*FORWARDS, environment=environment)
            running.set_result(process)
            ended = process.wait()
        if how != "killed" and ended.code != 0:
            _told_truthfully(keys, ended)
    ended = keys.forwards()
    assert ended.code == 0, ended.output
    changed(keys, 1)
    assert not state(keys.database.url).is_interrupted
    number = {"killed": "kills"}.get(how, "dropped_connections")
    count(record_property, **{number: len(points)})


def _told_truthfully(keys: Project, ended: Completed) -> None:
    """Check that the message has the number of rows that are done."""
    if "are done and committed" not in ended.stderr:
        return
    found = query(
        keys.database.url,
        "SELECT (progress ->> 'rows')::int AS rows FROM migration_step"
        " WHERE finished_at IS NULL AND progress IS NOT NULL",
    )
    said = ended.stderr.partition(" are done and committed")[0]
    for row in found:
        assert f"{row['rows']} row" in said, ended.stderr


@pytest.fixture
def one(project: Project) -> Project:
    execute(
        project.database.url,
        "CREATE TABLE t (id int PRIMARY KEY, n int, other int)",
        "INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN 5 END, 0 FROM generate_series(1, 90) i",
        "ANALYZE t",
    )
    return project


def write(project: Project, call: str) -> None:
    project.write("1", [], more=f"from partman.migration import Pace\nmanager.online()\n{call}")


def test_its_condition_leaves_rows_out(one: Project) -> None:
    write(one, "manager.backfill('t', 'n = id -- the id', where='n IS NULL -- missing',"
          " pace=Pace(rows=7))")  # fmt: skip
    ended = one.forwards()
    assert ended.code == 0, ended.output
    assert "done, 60 rows in " in ended.stdout
    rows = query(one.database.url, "SELECT id, n FROM t")
    assert all(row["n"] == (5 if row["id"] % 3 == 0 else row["id"]) for row in rows)


def test_it_waits_for_a_locked_row_and_goes_on(zygote: Zygote, one: Project) -> None:
    write(one, "manager.backfill('t', 'n = 1', pace=Pace(rows=10))")
    with session(one.database.url, "BEGIN", "UPDATE t SET other = 1 WHERE id = 55") as other:
        process = zygote.start(*FORWARDS, environment=one.environment)
        process.wait_for("waits for other sessions")
        passed = "SELECT (progress ->> 'rows')::int AS rows FROM migration_step"
        # Smaller and smaller portions bring it up to the row itself.
        wait_until(lambda: query(one.database.url, passed)[0]["rows"] == 54, "54 rows")
        other.execute("COMMIT")
        ended = process.wait()
    assert ended.code == 0, ended.output
    found = query(one.database.url, "SELECT count(*) FROM t WHERE n = 1 OR other = 1")
    assert found[0]["count"] == 90


def test_what_a_portion_does_beside_is_seen(one: Project) -> None:
    execute(
        one.database.url,
        "CREATE TABLE log (id int)",
        "INSERT INTO log SELECT generate_series(1, 90)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " DELETE FROM log WHERE id = NEW.id; RETURN NEW; END $$",
        "CREATE TRIGGER f AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )
    write(one, "manager.backfill('t', 'n = 1', where='id < 11')")
    ended = one.forwards()
    assert ended.code == 0, ended.output
    changes = query(one.database.url, "SELECT changes FROM migration_history")[0]["changes"]
    assert "log: 10 rows deleted" in changes
    assert "t: 10 rows updated" in changes


def test_it_waits_while_a_transaction_is_old(zygote: Zygote, one: Project) -> None:
    write(one, "manager.backfill('t', 'n = 1', pace=Pace(rows=10, transaction_age=0))")
    with session(one.database.url, "BEGIN", "SELECT 1", name="somebody") as other:
        process = zygote.start(*FORWARDS, environment=one.environment)
        process.wait_for("The backfill of t waits: a transaction is old")
        status = one.partman("status").stdout
        assert "step 1 of 1, 10 of about 90 rows (11 %)." in status
        told = json.loads(one.partman("status", "--json").stdout)["migrations"][0]
        assert (told["rows_done"], told["rows_total"]) == (10, 90)
        other.execute("COMMIT")
        ended = process.wait()
    assert ended.code == 0, ended.output
    assert "somebody" in ended.stderr
    assert "pg_terminate_backend" in ended.stderr
    assert "The backfill of t goes on." in ended.stderr


REFUSALS = {
    "no primary key": ("'plain', 'n = 1'", "the table has no primary key"),
    "no table": ("'missing', 'n = 1'", "there is no such table"),
    "its key": ("'t', 'n = 1, id = id + 1'", "it changes the primary key, id"),
    "no grammar": ("'t', 'n = = 1'", "PostgreSQL's grammar rejects it"),
    "two statements": ("'t', 'n = 1; DROP TABLE t'", "it is not one UPDATE"),
    "no column": ("'t', 'm = 1'", 'column "m" of relation "t" does not exist'),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_divided_is_refused(one: Project, case: str) -> None:
    execute(one.database.url, "CREATE TABLE plain (n int)")
    arguments, expected = REFUSALS[case]
    write(one, f"manager.backfill({arguments})")
    ended = one.forwards()
    assert ended.code == 7, ended.output
    assert expected in ended.stderr
    assert "Traceback" not in ended.output
    assert query(one.database.url, "SELECT count(*) FROM t WHERE n = 1")[0]["count"] == 0


def test_only_an_online_migration_may_have_one(one: Project) -> None:
    one.write("1", [], more="manager.backfill('t', 'n = 1')")
    ended = one.forwards()
    assert ended.code == 7, ended.output
    assert "1 has a backfill of t but is not online. Nothing was done." in ended.stderr


def test_it_is_previewed_planned_and_verified(one: Project) -> None:
    one.write("0", ["CREATE TABLE u (id int PRIMARY KEY, n int)"], ["DROP TABLE u"])
    assert one.forwards().code == 0
    execute(one.database.url, "INSERT INTO u SELECT generate_series(1, 20000)", "ANALYZE u")
    write(one, "manager.backfill('u', 'n = id', 'n = NULL', where='id > 5')")
    shown = one.piccolo("forwards", "extra", "--preview").stdout
    assert "-- In portions by primary key: u\nUPDATE u\nSET n = id\nWHERE id > 5;" in shown
    planned = one.partman("plan", "--fail-on", "blocks-writes")
    assert planned.code == 0, planned.output
    assert "brief lock" in planned.stdout
    verified = one.partman("verify")
    assert verified.code == 0, verified.output


@pytest.fixture
def interrupted(zygote: Zygote, one: Project) -> Project:
    """One that was killed after its first portion."""
    write(one, "manager.backfill('t', 'n = 1', pace=Pace(rows=10, transaction_age=0))")
    with session(one.database.url, "BEGIN", "SELECT 1"):
        process = zygote.start(*FORWARDS, environment=one.environment)
        process.wait_for("a transaction is old")
        process.kill()
        process.wait()
    return one


def test_a_backfill_that_was_changed_meanwhile_is_refused(interrupted: Project) -> None:
    write(interrupted, "manager.backfill('t', 'n = 2')")
    ended = interrupted.forwards()
    assert ended.code == 7, ended.output
    assert "Step 1 of 1 was changed after it ran." in ended.stderr
    # Its pace may be.
    write(interrupted, "manager.backfill('t', 'n = 1', pace=Pace(portion=1))")
    ended = interrupted.forwards()
    assert ended.code == 0, ended.output
    assert query(interrupted.database.url, "SELECT count(*) FROM t WHERE n = 1")[0]["count"] == 90


async def test_it_is_finished_before_the_database_is_divided(interrupted: Project) -> None:
    """Or brought back to one server: the order of the rows is another one there."""
    settings = Settings.load(interrupted.environment)
    with pytest.raises(PreflightError, match="1 was interrupted at its step 1"):
        async with distributing(settings, "distribute", lambda _: None):
            pass


def test_psql_does_it_in_portions_too(keys: Project) -> None:
    keys.write("1", [], more=backfills())
    for arguments, to in (((), 1), (("--backwards", "--to", "0"), 0)):
        written = keys.partman("sql", *arguments)
        assert written.code == 0, written.output
        ended = run_script(keys.database.url, written.stdout)
        assert (ended.returncode, ended.stderr) == (0, "")
        changed(keys, to)


def test_a_run_goes_on_where_a_script_was_killed(keys: Project) -> None:
    """A position that psql has recorded is one that a run understands."""
    keys.write("1", [], more=backfills())
    text = keys.partman("sql").stdout
    halved = text.replace("COMMIT;\n        EXIT WHEN", "COMMIT; EXIT WHEN NOT partman_is_first;\n"
                          "        EXIT WHEN")  # fmt: skip
    assert text != halved
    stopped = halved.rpartition("BEGIN;\n")[0]
    ended = run_script(keys.database.url, stopped)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert keys.forwards().code == 0
    changed(keys, 1)
