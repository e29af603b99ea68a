"""Ready only when the database is what the code expects, and otherwise it says why."""

from collections.abc import Callable
from functools import partial

import asyncpg
import pytest

from partman.migration.ledger import lock, step_records
from tests.database.test_distributed import distribute, distribute_as_partman
from tests.faults.processes import wait_until
from tests.project import APP, Project, row_of_a_run
from tests.proxy import Proxy
from tests.serve.conftest import Serve
from tests.shared import unique_name
from tests.support import MIGRATIONS, Database, as_role, execute

BEGUN = f"""
INSERT INTO migration_step (app, migration, backwards, number, statement)
VALUES ('{APP}', '2026-01-04', false, 1, 'SELECT 1')
"""


@pytest.fixture
def applied(in_project: Project) -> Project:
    """Two migrations, applied."""
    in_project.write("2026-01-01", ["CREATE TABLE one (id int)"], ["DROP TABLE one"])
    in_project.write("2026-01-03", ["CREATE TABLE three (id int)"], ["DROP TABLE three"])
    assert in_project.forwards().code == 0
    return in_project


def nothing(project: Project) -> None:
    pass


def add(project: Project) -> None:
    project.write("2026-01-04", ["CREATE TABLE four (id int)"])


def add_in_between(project: Project) -> None:
    project.write("2026-01-02", ["CREATE TABLE two (id int)"])


def delete_newest(project: Project) -> None:
    project.file("2026-01-03").unlink()


def delete_oldest(project: Project) -> None:
    project.file("2026-01-01").unlink()


def edit(project: Project) -> None:
    project.write("2026-01-01", ["CREATE TABLE one (id bigint)"])


def copy(project: Project) -> None:
    project.file("2026-01-03").with_name("extra_copy.py").write_text(
        project.file("2026-01-03").read_text()
    )


def take_out_of_ledger(project: Project) -> None:
    execute(project.database.url, "DELETE FROM migration WHERE name = '2026-01-03'")


def enter_by_hand(project: Project) -> None:
    add(project)
    execute(
        project.database.url,
        "INSERT INTO migration (name, app_name, ran_on)"
        f" VALUES ('2026-01-04', '{APP}', localtimestamp)",
    )


def interrupt(project: Project) -> None:
    add(project)
    execute(project.database.url, step_records.TABLE, BEGUN)


Situation = Callable[[Project], None]
SITUATIONS: dict[str, tuple[Situation, str | None, list[str]]] = {
    "as it should be": (nothing, None, []),
    "pending": (add, "pending", []),
    "ahead": (delete_newest, "ahead", ["missing"]),
    "missing": (delete_oldest, "drifted", ["missing"]),
    "edited": (edit, "drifted", ["edited"]),
    "late": (add_in_between, "drifted", ["late"]),
    "duplicate": (copy, "drifted", ["duplicate", "duplicate"]),
    "removed": (take_out_of_ledger, "drifted", ["removed"]),
    # As stock Piccolo leaves it, so it does not speak against the database.
    "unrecorded": (enter_by_hand, None, ["unrecorded"]),
    "interrupted": (interrupt, "drifted", ["interrupted"]),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_is_ready_only_when_the_ledger_is_what_the_files_expect(
    applied: Project, serve: Serve, situation: str
) -> None:
    bring_about, reason, kinds = SITUATIONS[situation]
    bring_about(applied)
    client = serve(applied.database.url)
    answer = client.get("/health/ready")
    output = answer.json()
    assert answer.status_code == (200 if reason is None else 503)
    assert output["ready"] is (reason is None)
    assert output["reason"] == reason
    assert sorted(problem["kind"] for problem in output["problems"]) == kinds
    for problem in output["problems"]:
        assert reason is None or problem["message"] in output["detail"]


def test_tables_that_become_distributed_are_seen_at_once(applied: Project, serve: Serve) -> None:
    client = serve(applied.database.url)
    distribute(applied.database)
    assert client.get("/health/ready").status_code == 200
    listed = "pg_catalog.pg_dist_partition"
    execute(as_role(applied.database.url, "postgres"), f"INSERT INTO {listed} VALUES ('one', 'h')")
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "distributed"
    assert "Citus distributes tables of this database: one." in answer.json()["detail"]
    execute(as_role(applied.database.url, "postgres"), f"TRUNCATE {listed}")
    assert client.get("/health/ready").status_code == 200


def test_what_partman_has_distributed_is_ready(applied: Project, serve: Serve) -> None:
    client = serve(applied.database.url)
    execute(applied.database.url, "CREATE TABLE organizations ()")
    distribute_as_partman(applied.database, "one")
    assert client.get("/health/ready").status_code == 200
    execute(
        as_role(applied.database.url, "postgres"),
        "UPDATE pg_catalog.pg_dist_partition SET partmethod = 'a' WHERE partmethod = 'h'",
    )
    assert client.get("/health/ready").json()["reason"] == "distributed"


def test_it_says_which_versions_there_are(applied: Project, serve: Serve) -> None:
    add(applied)
    client = serve(applied.database.url)
    output = client.get("/health/ready").json()
    assert (output["version"], output["expected"]) == ("2026-01-03", "2026-01-04")
    assert output["pending"] == ["2026-01-04"]
    assert "2026-01-04" in output["detail"]


def test_an_empty_database_is_pending(empty_database: Database, serve: Serve) -> None:
    client = serve(empty_database.url)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert (answer.json()["reason"], answer.json()["version"]) == ("pending", None)
    assert answer.json()["pending"] == list(MIGRATIONS)


def test_a_run_that_is_in_the_middle_of_its_steps_was_not_interrupted(
    applied: Project, serve: Serve
) -> None:
    interrupt(applied)
    client = serve(applied.database.url)
    assert client.get("/health/ready").json()["reason"] == "drifted"
    runner = client.call(asyncpg.connect, applied.database.url)
    client.call(partial(lock.acquire, runner, patience=0, report=print))
    assert client.get("/health/ready").json()["reason"] == "migrating"
    client.call(runner.close)


@pytest.mark.parametrize("steps", [3, None])
def test_a_run_is_migrating_until_it_is_killed(
    applied: Project, serve: Serve, steps: int | None
) -> None:
    add(applied)
    client = serve(applied.database.url)

    def asked() -> tuple[str, str]:
        answer = client.get("/health/ready").json()
        return answer["reason"], answer["detail"]

    assert asked() == ("pending", "1 pending: 2026-01-04.")
    runner = client.call(asyncpg.connect, applied.database.url)
    client.call(partial(lock.acquire, runner, patience=0, report=print))
    client.call(runner.execute, row_of_a_run("2026-01-04", steps))
    place = " (step 1 of 3)" if steps else ""
    assert asked() == ("migrating", f"A run is under way: 2026-01-04{place}.")
    if steps:
        client.call(runner.execute, f"{step_records.TABLE} {BEGUN}")
        assert asked() == ("migrating", "A run is under way: 2026-01-04 (step 1 of 3).")
        client.call(runner.execute, "UPDATE migration_step SET finished_at = now()")
        assert asked() == ("migrating", "A run is under way: 2026-01-04 (step 2 of 3).")
    client.call(runner.close)
    wait_until(lambda: asked()[0] != "migrating", "the server had noticed")
    reason, detail = asked()
    if steps:
        assert reason == "drifted"
        assert "interrupted going forwards, after step 1 of 3." in detail
    else:
        assert (reason, detail) == ("pending", "1 pending: 2026-01-04 (killed).")


def test_changes_in_the_database_are_seen_at_once(applied: Project, serve: Serve) -> None:
    client = serve(applied.database.url)
    assert client.get("/health/ready").status_code == 200
    assert applied.backwards().code == 0
    assert client.get("/health/ready").json()["reason"] == "pending"
    assert applied.forwards().code == 0
    assert client.get("/health/ready").status_code == 200
    interrupt(applied)
    assert client.get("/health/ready").json()["reason"] == "drifted"
    execute(applied.database.url, "UPDATE migration_step SET backwards = true")
    assert "going backwards" in client.get("/health/ready").json()["detail"]
    execute(applied.database.url, "DROP TABLE migration_step")
    assert client.get("/health/ready").status_code == 200
    execute(applied.database.url, "UPDATE migration SET name = 'x' WHERE name = '2026-01-03'")
    assert client.get("/health/ready").json()["pending"] == ["2026-01-03"]
    execute(applied.database.url, "DROP TABLE migration_history, migration")
    assert client.get("/health/ready").json()["pending"] == ["2026-01-01", "2026-01-03"]


def test_the_files_are_those_of_the_beginning(applied: Project, serve: Serve) -> None:
    client = serve(applied.database.url)
    assert client.get("/health/ready").status_code == 200
    edit(applied)
    add(applied)
    execute(applied.database.url, step_records.TABLE)  # so that it is all looked at again
    assert client.get("/health/ready").status_code == 200


def test_a_server_that_is_not_there_is_unreachable_and_the_log_says_why(
    database: Database, serve: Serve, log: pytest.LogCaptureFixture
) -> None:
    with Proxy(database) as proxy:
        client = serve(proxy.url.replace("@", ":pass-word@"))
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reason"] == "unreachable"
        assert answer.json()["pending"] is None
        # Whoever may ask need not know where it is.
        assert str(proxy.port) not in answer.text
        assert f"127.0.0.1:{proxy.port}" in log.text
        assert "pass-word" not in log.text
        proxy.open()
        assert client.get("/health/ready").status_code == 200


def test_a_state_is_logged_when_it_is_new(
    applied: Project, serve: Serve, log: pytest.LogCaptureFixture
) -> None:
    client = serve(applied.database.url)
    for _ in range(3):
        client.get("/health/ready")
    interrupt(applied)
    for _ in range(3):
        client.get("/health/ready")
    records = [record for record in log.records if record.name == "partman.serve"]
    assert [record.levelname for record in records] == ["INFO", "WARNING"]


@pytest.mark.parametrize("right", [None, "USAGE ON SCHEMA public"])
def test_a_role_that_may_not_read_the_ledger_is_no_pending_migration(
    database: Database, stranger: str, serve: Serve, right: str | None
) -> None:
    if right:
        role = stranger.split("//")[1].split("@")[0]
        execute(database.url, f"GRANT {right} TO {role}")
    try:
        client = serve(stranger)
        answer = client.get("/health/ready")
    finally:
        if right:
            execute(database.url, f"REVOKE {right} FROM {role}")
    assert answer.status_code == 503
    assert answer.json()["reason"] == "unreadable"


def test_the_consoles_role_may_ask(database: Database, serve: Serve) -> None:
    name = unique_name()
    execute(database.url, f"CREATE ROLE {name} LOGIN IN ROLE partman_console")
    try:
        client = serve(as_role(database.url, name))
        assert client.get("/health/ready").status_code == 200
    finally:
        execute(database.url, f"DROP ROLE {name}")


def test_live_asks_no_database(database: Database, serve: Serve) -> None:
    with Proxy(database) as proxy:
        proxy.open()
        client = serve(proxy.url)
        assert (client.get("/health/live")).status_code == 200
        assert proxy.accepted == 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_answer_is_kept(database: Database, serve: Serve, path: str, method: str) -> None:
    client = serve(database.url)
    answer = client.get(path, method)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
