"""Files, ledger and history fit together, or nothing runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project import Project, applied_once
from tests.support import execute, query

pytestmark = pytest.mark.same_on_every_version


def write_two(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    project.write("2026-01-03", ["CREATE TABLE three (id int)"], ["DROP TABLE three"])


@pytest.fixture
def applied(tmp_path: Path) -> Iterator[Project]:
    """Two migrations applied, one pending."""
    with applied_once("preflight", write_two, tmp_path) as project:
        project.write("2026-01-04", ["CREATE TABLE four (id int)"], ["DROP TABLE four"])
        yield project


def edit(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE one (id bigint)"], ["DROP TABLE one"])


def delete(project: Project) -> None:
    project.file("2026-01-01").unlink()


def insert(project: Project) -> None:
    project.write("2026-01-02", ["CREATE TABLE two (id int)"])


def duplicate(project: Project) -> None:
    copy = project.file("2026-01-03").with_name("extra_copy.py")
    copy.write_text(project.file("2026-01-03").read_text())


PROBLEMS: dict[str, tuple[Callable[[Project], None], str]] = {
    "edited": (edit, "extra_2026-01-01.py was changed after it was applied"),
    "missing": (delete, "2026-01-01 of extra is applied, but there is no such file"),
    "late": (insert, "extra_2026-01-02.py is pending, but older than 2026-01-03"),
    "duplicate": (duplicate, "has the ID of another migration, 2026-01-03"),
}


@pytest.mark.parametrize("environment", ["production", "development"])
def test_an_online_migration_that_was_interrupted_is_finished_before_anything_else(
    applied: Project, environment: str
) -> None:
    """In development, too: half of a migration is no place to go on from."""
    applied.write(
        "2026-01-04", ["CREATE TABLE four (id int)", "SELECT 1 / count(*) FROM one"],
        ["DROP TABLE four"], more="manager.online()",
    )  # fmt: skip
    assert applied.forwards(PARTMAN_ENV=environment).code == 7
    assert four_exists(applied)

    other_way = applied.backwards(PARTMAN_ENV=environment)

    assert other_way.code == 10
    finish = "piccolo migrations forwards extra 2026-01-04"
    assert (
        f"was interrupted going forwards, after step 1 of 2. Finish it: {finish}"
        in other_way.stderr
    )
    status = json.loads(applied.partman("status", "--json").stdout)
    assert [problem["kind"] for problem in status["problems"]] == ["interrupted"]

    execute(applied.database.url, "INSERT INTO one VALUES (1)")
    assert applied.forwards(PARTMAN_ENV=environment).code == 0
    assert applied.backwards(PARTMAN_ENV=environment).code == 0
    assert not four_exists(applied)


def four_exists(project: Project) -> bool:
    return bool(query(project.database.url, "SELECT FROM pg_class WHERE relname = 'four'"))


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("environment", ["production", "staging"])
def test_stops_before_anything_runs(applied: Project, kind: str, environment: str) -> None:
    make, message = PROBLEMS[kind]
    make(applied)
    completed = applied.forwards(PARTMAN_ENV=environment)
    assert completed.code == 10, completed.output
    assert message in completed.stderr
    assert not four_exists(applied)


def test_stops_even_when_nothing_is_pending(applied: Project) -> None:
    assert applied.forwards().code == 0
    edit(applied)
    for completed in (applied.forwards(), applied.partman("migrate")):
        assert completed.code == 10, completed.output
        assert "extra_2026-01-01.py was changed" in completed.stderr
    completed = applied.partman("migrate", PARTMAN_PREFLIGHT="warn")
    assert completed.code == 0
    assert "extra_2026-01-01.py was changed" in completed.stderr


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize(
    "variables", [{"PARTMAN_ENV": "development"}, {"PARTMAN_PREFLIGHT": "warn"}], ids=str
)
def test_warns_where_it_may(applied: Project, kind: str, variables: dict[str, str]) -> None:
    make, message = PROBLEMS[kind]
    make(applied)
    completed = applied.forwards(**variables)
    assert completed.code == 0, completed.output
    assert message in completed.stderr
    assert four_exists(applied)


def interrupt(project: Project) -> None:
    project.write(
        "2026-01-04",
        ["CREATE TABLE four (id int)"],
        ["SELECT 1", "SELECT 1 / 0"],
        more="manager.online()",
    )
    assert project.forwards().code == 0
    assert project.backwards().code == 7


STOPPING = {kind: make for kind, (make, _) in PROBLEMS.items()} | {
    "interrupted": interrupt,
    "unrecorded": lambda project: execute(
        project.database.url,
        "INSERT INTO migration (name, app_name) VALUES ('2026-01-04', 'extra')",
    ),
    "nothing": lambda project: None,
}


@pytest.mark.parametrize("kind", STOPPING)
@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("pending", [True, False])
def test_status_ends_as_a_run_would(
    applied: Project, kind: str, environment: str, pending: bool
) -> None:
    STOPPING[kind](applied)
    if pending:
        applied.write("2026-01-05", ["CREATE TABLE five (id int)"])
    status = applied.partman("status", PARTMAN_ENV=environment)
    scripts = applied.partman("status", "--json", PARTMAN_ENV=environment)
    is_pending = bool(json.loads(scripts.stdout)["pending"])
    run = applied.partman("migrate", PARTMAN_ENV=environment)
    assert run.code in {0, 10}, run.output
    assert status.code == scripts.code == (run.code or int(is_pending))
    assert ("would stop" in status.stdout) is (run.code == 10)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_status_shows_it(applied: Project, kind: str) -> None:
    make, message = PROBLEMS[kind]
    make(applied)
    assert message in applied.partman("status").stdout
    problems = json.loads(applied.partman("status", "--json").stdout)["problems"]
    assert kind in {problem["kind"] for problem in problems}


def test_comments_and_formatting_are_no_change(applied: Project) -> None:
    file = applied.file("2026-01-01")
    text = file.read_text().replace("'", '"').replace("return manager", "return manager  # so")
    file.write_text(f'"""What it is for."""\n\n# A remark.\n{text}\n\n')
    completed = applied.forwards()
    assert completed.code == 0, completed.output
    assert "changed" not in completed.stderr


def test_a_restored_file_runs_backwards(applied: Project) -> None:
    edit(applied)
    assert applied.backwards().code == 10
    applied.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    assert applied.backwards().code == 0


@pytest.mark.parametrize(
    ("by_hand", "message"),
    [
        (
            "INSERT INTO migration (name, app_name) VALUES ('2026-01-04', 'extra')",
            "2026-01-04 is in the ledger, but no recorded run put it there",
        ),
        (
            "DELETE FROM migration WHERE name = '2026-01-03'",
            "2026-01-03 was applied, and no recorded run undid it",
        ),
    ],
)
def test_status_tells_a_ledger_edited_by_hand(applied: Project, by_hand: str, message: str) -> None:
    execute(applied.database.url, by_hand)
    assert message in applied.partman("status").stdout


def test_a_table_of_piccolos_name_in_another_schema_is_refused(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE one (id int)"])
    execute(
        project.database.url, "CREATE SCHEMA elsewhere", "CREATE TABLE elsewhere.migration (i int)"
    )
    completed = project.forwards()
    assert completed.code == 1
    assert "The schema elsewhere has a table named migration" in completed.stderr
    assert "Nothing was run" in completed.stderr
