"""What is said of a migration that is several commits, when one of them fails."""

import pytest

from tests.faults.cutting import CuttingProxy
from tests.faults.test_commit import COMMIT
from tests.project import Project
from tests.support import execute, query

pytestmark = pytest.mark.same_on_every_version

ONLINE, ALONE = "manager.online()", "manager.wrap_in_transaction = False"
SAID = {
    ONLINE: "The steps before it are committed; the next run continues with step 3.",
    ALONE: "2 statements before it are committed and stay",
}
FAILING = {
    "a COMMIT": ("COMMIT", 7),
    "a loss of data": ("DELETE FROM t", 11),
    "a block that commits": ("DO $$ BEGIN INSERT INTO t VALUES (2); COMMIT; END $$", 1),
    "an error": ("SELECT 1 / 0", 7),
    "a build on duplicates": ("CREATE UNIQUE INDEX CONCURRENTLY one ON t (i)", 7),
}


@pytest.fixture
def filled(project: Project) -> Project:
    execute(project.database.url, "CREATE TABLE t (i int)", "INSERT INTO t VALUES (1), (1)")
    return project


def tables(project: Project) -> list[str]:
    """Those that migrations have made."""
    names = "SELECT relname FROM pg_class WHERE relname IN ('one', 'two') AND relkind = 'r'"
    return [row[0] for row in query(project.database.url, f"{names} ORDER BY 1")]


@pytest.mark.parametrize("mode", SAID, ids=["online", "alone"])
@pytest.mark.parametrize("failing", FAILING)
def test_what_was_committed_before_is_told(filled: Project, failing: str, mode: str) -> None:
    statement, code = FAILING[failing]
    filled.write("1", ["CREATE TABLE one ()", "CREATE TABLE two ()", statement], more=mode)
    ended = filled.forwards()
    assert ended.code == code, ended.output
    assert SAID[mode] in ended.stderr
    assert "the database is as it was" not in ended.stderr
    assert tables(filled) == ["one", "two"]
    assert query(filled.database.url, "SELECT FROM pg_index WHERE NOT indisvalid") == []


def test_a_build_of_one_without_a_transaction_is_valid_when_it_is_done(filled: Project) -> None:
    url = filled.database.url
    build = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one ON t (i)"
    with pytest.raises(Exception, match="could not create unique index"):
        execute(url, build)
    execute(url, "DELETE FROM t WHERE ctid = '(0,1)'")
    filled.write("1", [build], more=ALONE)
    ended = filled.forwards()
    assert ended.code == 0, ended.output
    assert [row[0] for row in query(url, "SELECT indisvalid FROM pg_index WHERE indrelid = "
                                         "'t'::regclass")] == [True]  # fmt: skip


@pytest.mark.parametrize("arrives", [True, False], ids=["answer_lost", "request_lost"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_statement_whose_commit_was_lost_is_asked_for(
    project: Project, number: int, arrives: bool
) -> None:
    project.write("1", ["CREATE TABLE one ()", "CREATE TABLE two ()"], more=ALONE)
    with CuttingProxy(project.database, at_request=(COMMIT, number), arrives=arrives) as proxy:
        ended = project.forwards(DATABASE_URL=proxy.url)
    assert ended.code == 4, ended.output
    assert tables(project) == ["one", "two"][: number if arrives else number - 1]
    assert ("this one is committed, too" in ended.stderr) is arrives
    assert ("this one was rolled back" in ended.stderr) is (not arrives and number == 2)
    assert ("the database is as it was" in ended.stderr) is (not arrives and number == 1)


@pytest.mark.parametrize("mode", SAID, ids=["online", "alone"])
def test_a_lost_commit_of_the_ledger_takes_back_nothing_else(project: Project, mode: str) -> None:
    project.write("1", ["CREATE TABLE one ()", "CREATE TABLE two ()"], more=mode)
    with CuttingProxy(project.database, at_request=(COMMIT, 3)) as proxy:
        ended = project.forwards(DATABASE_URL=proxy.url)
    assert ended.code == 4, ended.output
    assert tables(project) == ["one", "two"]
    assert "not recorded as applied" in ended.stderr
    assert "rolled back" not in ended.stderr
    assert query(project.database.url, "SELECT FROM migration") == []
    if mode == ONLINE:
        assert project.forwards().code == 0
