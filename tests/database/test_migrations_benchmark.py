"""The benchmark of migrations runs, and compares equal work."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks import parts, profiled, readiness
from benchmarks.measure import run
from benchmarks.projects import (
    FORWARDS,
    Project,
    many_project,
    raw_project,
    story_project,
    tables_project,
)
from benchmarks.server import Server, running
from partman.errors import ExitCode
from tests.catalog import catalog
from tests.faults.processes import Zygote
from tests.servers import copied, temporary_directory
from tests.support import MIGRATIONS, Completed

pytestmark = [
    pytest.mark.same_on_every_version,
    pytest.mark.skipif(sys.platform != "linux", reason="a process's CPU time is from /proc"),
]


@pytest.fixture(scope="module")
def server(stopped: Path) -> Iterator[Server]:
    with temporary_directory() as folder, running(copied(stopped, folder)) as server:
        yield server


def production(project: Project, database: str) -> dict[str, str]:
    """Where a loss is refused, and not only warned of."""
    return {**project.environment(database), "PARTMAN_ENV": "production"}


def forked(project: Project, database: str, *command: str, level: str = "library") -> Completed:
    """Run a command as the benchmark would, and fork it instead of starting it."""
    environment = production(project, database)
    return Zygote(level).run(*command, environment=environment, cwd=project.folder)


def migrate(project: Project, database: str, *, stock: bool = False) -> None:
    level = "packages" if stock else "library"
    migrated = forked(project, database, "piccolo", "migrations", "forwards", "all", level=level)
    assert migrated.code == 0, migrated.output


def test_stock_piccolo_builds_the_same(server: Server, tmp_path: Path) -> None:
    found = []
    for name, stock in (("ours", False), ("stock", True)):
        project = story_project(tmp_path / name, server, stock=stock)
        migrate(project, server.create(name), stock=stock)
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
        run(FORWARDS, production(guarded, "losing"), guarded.folder)
    migrate(raw_project(tmp_path / "unguarded", server, statements, guarded=False), "losing")
    assert server.execute("losing", "SELECT to_regclass('full_one')")[0][0] is None


def test_the_tables_that_grow_are_those_of_the_classes(server: Server, tmp_path: Path) -> None:
    project = tables_project(tmp_path, server, 101)
    migrate(project, server.create("growing"))
    checked = forked(project, "growing", "partman", "check")
    assert checked.code == 0, checked.output
    project.add_pending()
    checked = forked(project, "growing", "partman", "check")
    assert checked.code == 1
    assert "table_1.later" in checked.output


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
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readiness, "MANY", (3,))
    monkeypatch.setattr(readiness, "temporary_server", lambda: nullcontext(server))
    monkeypatch.setattr(Project, "migrate", migrate)
    monkeypatch.setattr(sys, "argv", ["readiness", "--rounds", "1"])
    readiness.main()
    *_, whole, many = capsys.readouterr().out.strip().splitlines()
    assert whole.startswith(f"| {len(MIGRATIONS)} |")
    assert many.startswith("| 3 |")
