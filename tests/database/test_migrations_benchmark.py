"""The benchmark of migrations runs, and compares equal work."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import parts, profiled, readiness
from benchmarks.measure import run
from benchmarks.projects import (
    FORWARDS,
    Project,
    many_project,
    raw_project,
    script,
    story_project,
    tables_project,
)
from benchmarks.server import Server, temporary_server
from partman.errors import ExitCode
from tests.catalog import catalog
from tests.support import MIGRATIONS

pytestmark = [
    pytest.mark.same_on_every_version,
    pytest.mark.skipif(sys.platform != "linux", reason="a process's CPU time is from /proc"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with temporary_server() as running:
        yield running


def migrate(project: Project, database: str) -> None:
    # Where a loss is refused, and not only warned of.
    environment = {**project.environment(database), "PARTMAN_ENV": "production"}
    run(FORWARDS, environment, project.folder)


def test_stock_piccolo_builds_the_same(server: Server, tmp_path: Path) -> None:
    found = []
    for name, stock in (("ours", False), ("stock", True)):
        migrate(story_project(tmp_path / name, server, stock=stock), server.create(name))
        found.append(catalog(server.database_url(name)))
    assert found[0] == found[1]
    assert len(found[0]) > 100


def test_no_database_is_dropped_between_rounds(server: Server) -> None:
    """Files that are removed make it slower to create others."""
    oids = "SELECT oid FROM pg_database WHERE datname LIKE 'renewed%'"
    kept: set[int] = set()
    for round_ in range(1, 4):
        server.renew("renewed")
        server.execute("renewed", "CREATE TABLE only_of_this_round ()")
        now = {row["oid"] for row in server.administer(oids)}
        assert kept < now
        assert len(now) == round_
        kept = now


def test_the_unguarded_project_has_no_guard(server: Server, tmp_path: Path) -> None:
    statements = {"drop_full": "DROP TABLE full_one"}
    server.create("losing")
    server.execute("losing", "CREATE TABLE full_one AS SELECT 1 AS id")
    guarded = raw_project(tmp_path / "guarded", server, statements, guarded=True)
    with pytest.raises(RuntimeError, match=f"exit code {ExitCode.DATA_LOSS}"):
        migrate(guarded, "losing")
    migrate(raw_project(tmp_path / "unguarded", server, statements, guarded=False), "losing")
    assert server.execute("losing", "SELECT to_regclass('full_one')")[0][0] is None


def test_the_tables_that_grow_are_those_of_the_classes(server: Server, tmp_path: Path) -> None:
    project = tables_project(tmp_path, server, 101)
    migrate(project, server.create("growing"))
    check = [script("partman"), "check"]
    run(check, project.environment("growing"), project.folder)
    project.add_pending()
    with pytest.raises(RuntimeError, match=r"table_1\.later"):
        run(check, project.environment("growing"), project.folder)


def test_the_parts_of_a_run_are_measured(server: Server, tmp_path: Path) -> None:
    """Each message of a run is known, so none is counted elsewhere; and nothing is left over."""
    project = many_project(tmp_path / "parts", server, 20, stock=False)
    [column] = [each for each in parts.columns() if each.arguments[0] == "partman"]
    found = parts.profile(column, project, server)
    of_server = {part for process, part in found if process == "server"}
    assert {profiled.DDL, profiled.BEGINNING, profiled.COMPLETION} < of_server
    assert all(found["server", part] > 0 for part in of_server)
    assert {part for process, part in found if process == "client"} <= {
        profiled.START,
        *profiled.PARTS.values(),
    }
    assert "| **both** | |" in parts.table([column], {column.title: found})


def test_a_probe_is_compared_with_select_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readiness, "MANY", (3,))
    monkeypatch.setattr(sys, "argv", ["readiness", "--rounds", "1"])
    readiness.main()
    *_, whole, many = capsys.readouterr().out.strip().splitlines()
    assert whole.startswith(f"| {len(MIGRATIONS)} |")
    assert many.startswith("| 3 |")
