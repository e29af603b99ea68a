"""How many messages a migration takes, and that what one message does is all or nothing."""

from typing import Any

import asyncpg
import pytest

from partman.errors import PartmanError
from partman.grammar.libpg_query import parse_tree
from partman.migration.ledger import history, lock
from partman.migration.ledger.identity import DirectedMigration
from partman.migration.ledger.status import read_ledger
from partman.migration.runner import completion
from partman.migration.runner.reach import divided, returns_rows
from tests.faults.cutting import CuttingProxy
from tests.project import Project
from tests.support import Database, query

WRITE = 'INSERT INTO "migration" ("id","name","app_name","ran_on") VALUES (DEFAULT,$1,$2,$3)'
LEDGER = 'DELETE FROM "migration" WHERE "name" = $1;'
DELETE = "DELETE FROM migration WHERE name = $1"
MESSAGES = 3
"""Of a migration or step with one statement: its beginning, the statement, and all that completes
it."""


@pytest.mark.parametrize(
    ("direction", "statement"),
    [("forwards", "CREATE TABLE t_{} (id int)"), ("backwards", "CREATE VIEW v_{} AS SELECT 1")],
)
def test_a_migration_that_only_adds_takes_three_messages(
    project: Project, direction: str, statement: str
) -> None:
    for number in range(1, 10):
        sql = [statement.format(number)]
        project.write(f"2026-01-0{number}", *((sql, []) if direction == "forwards" else ([], sql)))
    first = "all" if direction == "backwards" else "2026-01-01"
    assert project.piccolo("forwards", "extra", first).code == 0  # makes the ledger
    runs = {
        "forwards": {"2026-01-03": 2, "2026-01-09": 6},
        "backwards": {"2026-01-08": 2, "all": 7},
    }
    (few, less), (many, more) = (
        (answers_of(project, direction, upto), count) for upto, count in runs[direction].items()
    )
    assert many - few == MESSAGES * (more - less)
    left = query(project.database.url, "SELECT FROM migration")
    assert len(left) == {"forwards": 9, "backwards": 0}[direction]


def test_a_step_that_only_adds_takes_three_messages(project: Project) -> None:
    for number, steps in enumerate((1, 2, 8), 1):
        added = [f"CREATE TABLE t_{number}_{step} (id int)" for step in range(steps)]
        project.write(f"2026-01-0{number}", added, more="manager.online()")
    assert project.piccolo("forwards", "extra", "2026-01-01").code == 0  # makes the bookkeeping
    few, many = (answers_of(project, "forwards", f"2026-01-0{number}") for number in (2, 3))
    assert many - few == MESSAGES * 6


def test_a_step_is_recorded_as_it_is_written(project: Project) -> None:
    """Whatever it sets: the message that records it is read before that is put back."""
    texts = [
        "CREATE TABLE a (); SET standard_conforming_strings = off -- it's \\ $1 %s E'",
        "CREATE TABLE b (); SET client_encoding = 'LATIN1' -- it's é",
        "CREATE TABLE c (); SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ]
    project.write("1", [*texts, "SELECT 1 / 0"], more="manager.online()")
    for said in ("1/4", "already done"):
        ended = project.forwards()
        assert ended.code == 7, ended.output
        assert "Step 4 was rolled back" in ended.stderr
        assert said in ended.stdout
        steps = "SELECT statement FROM migration_step WHERE finished_at IS NOT NULL ORDER BY number"
        assert [row[0] for row in query(project.database.url, steps)] == texts


def answers_of(project: Project, direction: str, upto: str) -> int:
    """Run some migrations; return how often the server has said that it is ready."""
    agreed = ("--auto_agree",) if direction == "backwards" else ()
    # Of the run: whoever waits for seconds is asked about over another connection.
    with CuttingProxy(project.database, of_first=True) as proxy:
        ended = project.piccolo(direction, "extra", upto, *agreed, DATABASE_URL=proxy.url)
    assert ended.code == 0, ended.output
    return proxy.answers


async def test_one_message_commits_nothing_without_the_lock(empty_database: Database) -> None:
    """Behind a pooler, another server process than the one with the lock may get it."""
    connection = await asyncpg.connect(empty_database.url)
    holder = await asyncpg.connect(empty_database.url)
    try:
        await connection.execute(
            "CREATE TABLE migration (id serial, name text, app_name text, ran_on timestamp)"
        )
        await history.create(connection)
        await lock.acquire(holder, patience=0, report=print)
        is_holder = await lock.hold_twice(holder)
        for session in (connection, holder):
            await session.execute(history.beginning(DirectedMigration("a", "b", False)))
            await session.execute("BEGIN; CREATE TABLE added ()")
            message = completion.at_once(DELETE, ["it's \\ 100%"], is_holder)
            assert message is not None
            if session is connection:
                with pytest.raises(PartmanError, match="a pooler changes server processes"):
                    await completion.send(session, message)
                await session.execute("ROLLBACK")
                assert await session.fetchval("SELECT to_regclass('added')") is None
                assert [each.outcome for each in await history.read(session)] == ["running"]
            else:
                await completion.send(session, message)
                assert await session.fetchval("SELECT to_regclass('added')")
                assert {each.outcome for each in await history.read(session)} == {"done"}
                kept = "SELECT FROM pg_prepared_statements WHERE name LIKE 'partman%'"
                assert await session.fetch(kept) == []
                # Nothing is begun, so this message has nothing to complete.
                with pytest.raises(PartmanError, match="does not hold the migration lock"):
                    await completion.send(session, f"BEGIN;{message}")
    finally:
        await connection.close()
        await holder.close()


async def test_what_the_ledger_is_sent_comes_out_of_it(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """Whatever a name has in it, and whatever the migration has set."""
    [row] = (await read_ledger(connection))[:1]
    await lock.acquire(connection, patience=0, report=print)
    is_holder = await lock.hold_twice(connection)
    for conforming in ("on", "off"):
        for name in ("'", "\\", "\\'", "$1", "a;b", "é\n%s", "E'"):
            await connection.execute(f"SET standard_conforming_strings = {conforming}")
            await connection.execute("DELETE FROM migration WHERE app_name = 'odd'")
            await connection.execute(history.beginning(DirectedMigration("odd", name, False)))
            values = [name, "odd", row.ran_on]
            message = completion.at_once(f"{WRITE} RETURNING id;", values, is_holder)
            assert message is not None
            await connection.execute("BEGIN")
            await completion.send(connection, message)
            found = (await read_ledger(connection))[-1]
            assert (found.app, found.id, found.ran_on) == ("odd", name, row.ran_on)


@pytest.mark.same_on_every_version
def test_a_value_of_another_type_is_not_sent_as_a_text() -> None:
    assert completion.at_once(LEDGER, [7], "true") is None
    assert completion.at_once(LEDGER, [], "true") is None


@pytest.mark.same_on_every_version
def test_a_statement_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the transaction, the connection and the ledger's completion ask what it is."""
    parsed: list[bytes] = []

    def counting(sql: bytes) -> list[dict[str, Any]] | None:
        parsed.append(sql)
        return parse_tree(sql)

    monkeypatch.setattr("partman.grammar.statements.parse_tree", counting)
    divided.cache_clear()
    for number in range(3):
        sql = f"CREATE TABLE parsed_once_{number} ()"
        assert divided(sql)
        assert not returns_rows(sql)
        assert completion.is_ledger_write(WRITE) is False
    assert len(parsed) == 3 + 1


STATEMENTS = [
    "SELECT 1", "VALUES (1)", "TABLE pg_class", "WITH a AS (SELECT 1) SELECT * FROM a",
    "INSERT INTO t VALUES (1) RETURNING id", "UPDATE t SET id = 1", "DELETE FROM t RETURNING *",
    "SHOW work_mem", "EXPLAIN SELECT 1", "CALL p()", "FETCH 1 FROM c", "EXECUTE p",
    "CREATE TABLE u (id int)", "CREATE TABLE u AS SELECT 1 AS id", "ALTER TABLE t ADD b int",
    "CREATE INDEX ON t (id)", "COMMENT ON TABLE t IS 'x'", "DO $$ BEGIN END $$",
    "SET work_mem = 64", "TRUNCATE t", "DROP TABLE t", "LOCK TABLE t",
    "CREATE VIEW v AS SELECT 1", "NOTIFY a",
]  # fmt: skip


async def test_only_what_returns_no_rows_is_sent_as_one_message(
    empty_database: Database,
) -> None:
    """As PostgreSQL says of each statement: what has columns may return rows."""
    connection = await asyncpg.connect(empty_database.url)
    try:
        for sql in STATEMENTS:
            await connection.execute(
                "ROLLBACK; BEGIN; CREATE TABLE t (id int); CREATE PROCEDURE p() LANGUAGE sql AS '';"
                "DECLARE c CURSOR FOR SELECT 1; DEALLOCATE ALL; PREPARE p AS SELECT 1"
            )
            prepared = await connection.prepare(sql)
            assert not prepared.get_attributes() or returns_rows(sql), sql
    finally:
        await connection.close()
