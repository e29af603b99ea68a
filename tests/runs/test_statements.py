"""What a migration says reaches the server as it is, and means what it means in psql."""

import pytest

from tests.faults.sessions import session
from tests.project import Project
from tests.support import execute, query

ONLINE = "manager.online()"
MODES = {"in a transaction": "", "online": ONLINE, "alone": "manager.wrap_in_transaction = False"}

TEXTS = {
    "a tab": "a\tb",
    "an indented line": "first\n        second\n    third",
    "blank lines around": "\n\n  text  \n\n",
    "carriage returns": "one\r\ntwo\r",
    "trailing spaces": "line   \nnext\t\n",
    "a semicolon and a comment": "a; -- b\n/* c */;",
    "other scripts": "žluťoučký\n    日本語\t🐘",
    "a backslash": "a\\nb\\",
}


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("mode", MODES)
def test_sql_reaches_the_server_byte_for_byte(project: Project, mode: str) -> None:
    url, texts = project.database.url, [*TEXTS.values()]
    execute(url, "CREATE TABLE t (id int, value text)")
    forwards, backwards = [], []
    for number, value in enumerate(texts):
        forwards += [
            f"INSERT INTO t VALUES (1, '{value}')",
            f"  \n  CREATE FUNCTION f_{number}() RETURNS text LANGUAGE sql AS"
            f" $body$\n SELECT '{value}'\n $body$;\n",
        ]
        backwards += [f"INSERT INTO t VALUES (2, '{value}')", f"DROP FUNCTION f_{number}()"]
    project.write("1", forwards, backwards, MODES[mode])

    def written(number: int) -> list[str]:
        return [row[0] for row in query(url, f"SELECT value FROM t WHERE id = {number}")]

    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert written(1) == texts
    bodies = query(url, "SELECT prosrc FROM pg_proc WHERE starts_with(proname, 'f_') ORDER BY oid")
    assert [row[0] for row in bodies] == [f"\n SELECT '{value}'\n " for value in texts]

    ended = project.backwards()
    assert ended.code == 0, ended.output
    assert written(2) == texts


MEANINGS = {
    "a new enum value is used at once": (
        [
            "CREATE TYPE mood AS ENUM ('a')",
            "ALTER TYPE mood ADD VALUE 'b'",
            "CREATE TABLE f (m mood)",
            "INSERT INTO f VALUES ('b')",
        ],
        "SELECT m::text FROM f",
        ["b"],
    ),
    "a sequence advances once": (
        [
            "CREATE SEQUENCE s START 4",
            "ALTER TABLE t DROP COLUMN value, ADD COLUMN n int DEFAULT nextval('s')",
        ],
        "SELECT n FROM t",
        [4, 5, 6],
    ),
    "a function with effects of its own runs once": (
        [
            "CREATE SEQUENCE runs",
            "CREATE FUNCTION drops() RETURNS int LANGUAGE plpgsql AS"
            " $$ BEGIN DROP TABLE empty; RETURN nextval('runs'); END $$",
            "SELECT drops()",
        ],
        "SELECT last_value FROM runs",
        [1],
    ),
    "time stands still in a transaction": (
        [
            "CREATE TABLE moments (at timestamptz DEFAULT now())",
            "INSERT INTO moments DEFAULT VALUES",
            "DELETE FROM t WHERE id = 1",
            "INSERT INTO moments DEFAULT VALUES",
        ],
        "SELECT count(DISTINCT at) FROM moments",
        [1],
    ),
    "a savepoint of its own": (
        ["SAVEPOINT here", "DELETE FROM t WHERE id = 1", "ROLLBACK TO here", "RELEASE here"],
        "SELECT count(*) FROM t",
        [3],
    ),
}


SINCE = {"a new enum value is used at once": 170000}
"""The version of PostgreSQL that accepts it; older ones refuse it in psql, too."""


@pytest.mark.parametrize("meaning", MEANINGS)
def test_statements_mean_what_they_mean_in_psql(project: Project, meaning: str) -> None:
    execute(
        project.database.url,
        "CREATE TABLE t (id int, value text)",
        "CREATE TABLE empty ()",
        "INSERT INTO t (id) VALUES (1), (2), (3)",
    )
    statements, asked, expected = MEANINGS[meaning]
    project.write("1", statements)
    ended = project.forwards()
    version = int(query(project.database.url, "SHOW server_version_num")[0][0])
    if version < SINCE.get(meaning, 0):
        assert ended.code == 7, ended.output
        return
    assert ended.code == 0, ended.output
    assert [row[0] for row in query(project.database.url, asked)] == expected


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("mode", MODES)
def test_a_string_without_a_statement_does_nothing(project: Project, mode: str) -> None:
    empty = ["-- nothing", "/* no */ ;\n", ";"]
    project.write("1", ["CREATE TABLE t ()", *empty, "CREATE TABLE u (); -- end"], more=MODES[mode])
    ended = project.forwards()
    assert ended.code == 0, ended.output


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "harmful",
    ["ALTER TABLE t ALTER COLUMN value TYPE varchar(1) USING left(value, 1)", "DELETE FROM t"],
)
def test_every_statement_of_a_string_is_watched(project: Project, mode: str, harmful: str) -> None:
    execute(
        project.database.url, "CREATE TABLE t (value text)", "INSERT INTO t VALUES ('a'), ('long')"
    )
    project.write("1", [f"CREATE TABLE new (id int); {harmful}; SELECT 1"], more=MODES[mode])
    ended = project.forwards()
    assert ended.code == 11, ended.output
    assert [row[0] for row in query(project.database.url, "SELECT value FROM t")] == ["a", "long"]


def test_rows_that_change_are_counted(project: Project) -> None:
    url = project.database.url
    execute(url, "CREATE TABLE t AS SELECT i AS id, 0 AS n FROM generate_series(1, 100) AS i")
    project.write("1", ["UPDATE t SET n = 1 WHERE id > 10", "DELETE FROM t WHERE id > 95"])
    ended = project.forwards()
    assert ended.code == 0, ended.output
    assert "INFO 1 changed rows: t: 90 rows updated, 5 rows deleted." in ended.stderr
    [row] = query(url, "SELECT outcome, changes FROM migration_history")
    assert tuple(row) == ("done", "t: 90 rows updated, 5 rows deleted")


BESIDE = {
    "run_sync": "def empty():\n    Tag.delete(force=True).run_sync()",
    "a task of its own": (
        "async def empty():\n"
        "    import asyncio, contextvars\n"
        "    work = Tag.delete(force=True).run()\n"
        "    await asyncio.create_task(work, context=contextvars.Context())"
    ),
    "a thread with the run's context": (
        "async def empty():\n"
        "    import asyncio\n"
        "    await asyncio.to_thread(lambda: asyncio.run(Tag.delete(force=True).run()))"
    ),
    "a thread of its own": (
        "def empty():\n"
        "    from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor() as threads:\n"
        "        threads.submit(Tag.delete(force=True).run_sync).result()"
    ),
}


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("way", BESIDE)
@pytest.mark.parametrize("mode", ["in a transaction", "alone"])
def test_a_query_beside_the_run_is_refused(project: Project, mode: str, way: str) -> None:
    url = project.database.url
    execute(
        url,
        "CREATE TABLE tag (id serial PRIMARY KEY, name varchar)",
        "INSERT INTO tag DEFAULT VALUES",
    )
    project.write(
        "1",
        ["CREATE TABLE new ()"],
        more="from piccolo.columns import Varchar\nfrom piccolo.table import Table\n\n"
        "class Tag(Table):\n    name = Varchar()\n"
        + f"\n{BESIDE[way]}\nmanager.add_raw(empty)\n{MODES[mode]}",
    )
    ended = project.forwards()
    assert ended.code == 7, ended.output
    assert "A query was started beside the migration run" in ended.stderr
    assert query(url, "SELECT count(*) FROM tag")[0][0] == 1
    assert "A query was started beside" in query(url, "SELECT error FROM migration_history")[0][0]


def test_a_table_that_another_session_has_locked_is_left_alone(project: Project) -> None:
    url = project.database.url
    execute(
        url,
        "CREATE TABLE mine (a int)",
        "CREATE TABLE other (b int)",
        "INSERT INTO other VALUES (1)",
    )
    project.write("1", ["DO $$ BEGIN EXECUTE 'DROP TABLE mine'; END $$", "SELECT 1"])
    with session(url, "BEGIN", "LOCK TABLE other IN ACCESS EXCLUSIVE MODE"):
        ended = project.forwards()
    assert ended.code == 0, ended.output
