"""Apps that depend on each other, and migrations that say of no app that they are its."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from partman.errors import ExitCode
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.readiness import Readiness, Watch
from tests.project import Project
from tests.support import Completed, Database, execute, query

pytestmark = pytest.mark.same_on_every_version

DEVELOPMENT = {"PARTMAN_ENV": "development"}


@pytest.fixture(params=[("shop", "blog"), ("blog", "shop")], ids=" ".join)
def shop(project: Project, request: pytest.FixtureRequest) -> Project:
    """A shop whose products refer to the posts of a blog; older IDs depend on newer ones."""
    project.add_app("blog")
    project.add_app("shop", ["blog"])
    project.register(*request.param)
    project.write_in(
        "blog", "2026-02", ["CREATE TABLE post (id int PRIMARY KEY)"], ["DROP TABLE post"]
    )
    project.write_in(
        "shop",
        "2026-01",
        ["CREATE TABLE product (post int REFERENCES post)"],
        ["DROP TABLE product"],
    )
    return project


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in query(database.url, sql)]


def readiness(project: Project, *files: MigrationFile) -> Readiness:
    async def look() -> Readiness:
        connection = await asyncpg.connect(project.database.url)
        try:
            return await Watch(list(files)).look(connection)
        finally:
            await connection.close()

    return asyncio.run(look())


def test_a_migration_of_piccolos_template_is_recorded_under_its_app(project: Project) -> None:
    written = project.piccolo("new", "extra", "--desc=by hand")
    assert written.code == 0, written.output
    [path] = (project.folder / "extra" / "piccolo_migrations").glob("extra_*.py")
    assert 'app_name=""' in path.read_text()
    for _ in range(2):
        ran = project.forwards()
        assert (ran.code, ran.stderr) == (0, "")
    status = project.partman("status")
    assert status.code == 0
    assert "Note" not in status.stdout
    assert rows(project.database, "SELECT app FROM migration_history") == [("extra",)]
    [(name,)] = rows(project.database, "SELECT name FROM migration")
    file = MigrationFile("extra", name, "by hand", path)
    assert readiness(project, file).ready

    path.write_text(path.read_text().replace("running", "walking"))
    refused = project.partman("migrate")
    assert refused.code == ExitCode.PREFLIGHT
    assert f"{path.name} was changed after it was applied" in refused.stderr
    assert not readiness(project, MigrationFile("extra", name, "by hand", path)).ready


def test_steps_are_recorded_under_the_app(project: Project) -> None:
    path = project.write("2026-01", ["CREATE TABLE t (id int)"], more="manager.online()")
    path.write_text(path.read_text().replace('app_name="extra"', 'app_name=""'))
    failing = project.write("2026-02", ["SELECT 1", "SELECT 1 / 0"], more="manager.online()")
    failing.write_text(failing.read_text().replace('app_name="extra"', 'app_name="another"'))
    failed = project.forwards()
    assert failed.code == ExitCode.MIGRATION, failed.output
    steps = rows(project.database, "SELECT DISTINCT app, migration FROM migration_step")
    assert steps == [("extra", "2026-02")]
    assert rows(project.database, "SELECT DISTINCT app FROM migration_history") == [("extra",)]


def test_every_command_goes_through_the_apps_as_piccolo_does(
    shop: Project, other_database: Database
) -> None:
    other = {"DATABASE_URL": other_database.url}
    planned = shop.partman("plan", "--json")
    assert planned.code == 0, planned.output
    tried = [each["id"] for each in json.loads(planned.stdout)["migrations"]]
    assert tried == ["2026-02", "2026-01"]
    migrated = shop.partman("migrate", **DEVELOPMENT)
    assert migrated.code == 0, migrated.output
    assert "blog 2026-02, shop 2026-01" in migrated.stdout
    for command in (["status"], ["drift"], ["verify"]):
        completed = shop.partman(*command)
        assert completed.code == 0, completed.output
    execute(other_database.url, "CREATE TABLE post (id int PRIMARY KEY)")
    execute(other_database.url, "CREATE TABLE product (post int REFERENCES post)")
    adopted = shop.partman("adopt", **other)
    assert adopted.code == 0, adopted.output
    assert rows(other_database, "SELECT app_name, name FROM migration ORDER BY id") == [
        ("blog", "2026-02"),
        ("shop", "2026-01"),
    ]
    assert shop.partman("migrate", **other).code == 0


def test_the_version_of_several_apps_names_each(shop: Project) -> None:
    assert shop.piccolo("forwards", "blog").code == 0
    status = shop.partman("status", "--json")
    assert json.loads(status.stdout)["version"] == "blog 2026-02"
    assert shop.partman("status").stdout.splitlines()[2].split()[0] == "app"
    files = [MigrationFile(app, name, "", Path()) for app, name in (("blog", "1"), ("shop", "2"))]
    assert Watch(files).expected == "blog 1, shop 2"
    assert Watch(files[:1]).expected == "1"


def test_redo_takes_the_app_of_the_migration_that_was_run_last(shop: Project) -> None:
    assert shop.forwards().code == 0
    redone = shop.partman("redo", **DEVELOPMENT)
    assert redone.code == 0, redone.output
    runs = rows(shop.database, "SELECT app, direction FROM migration_history ORDER BY id OFFSET 2")
    assert runs == [("shop", "backwards"), ("shop", "forwards")]


def test_redo_does_not_run_an_older_one_in_place_of_the_newest(project: Project) -> None:
    project.write("2026-02", ["CREATE TABLE t (id int)"], ["DROP TABLE t"])
    assert project.forwards().code == 0
    project.write("2026-01", ["CREATE TABLE older (id int)"], ["DROP TABLE older"])
    refused = project.partman("redo", **DEVELOPMENT)
    assert refused.code == ExitCode.NO
    assert "2026-01 of extra is pending, and older than 2026-02" in refused.stderr
    project.file("2026-01").unlink()
    project.file("2026-02").unlink()
    refused = project.partman("redo", **DEVELOPMENT)
    assert "2026-02 of extra, has no file here. Nothing was run." in refused.stderr


def test_a_dependency_that_is_not_registered_is_an_app_like_others(project: Project) -> None:
    project.add_app("blog")
    project.add_app("shop", ["blog"])
    project.register("shop")
    project.write_in("blog", "2026-02", ["CREATE TABLE post (id int)"])
    for _ in range(2):
        ran = project.forwards()
        assert (ran.code, ran.stderr) == (0, "")
    assert project.partman("status").code == 0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (b"ID = '2026-01'\nx = '\xe9'\n", "SyntaxError: (unicode error) 'utf-8' codec"),
        (b"ID = '2026-01'\nx = (\n", "SyntaxError: '(' was never closed"),
        (b"ID = '2026-01'\n\nasync def forwards():\n    break\n", "'break' outside loop"),
        (b"ID = '2026-01'\nimport nothing_like_it\n", "No module named 'nothing_like_it'"),
    ],
)
def test_a_file_that_cannot_be_read_stops_a_run_with_its_name(
    project: Project, code: bytes, reason: str
) -> None:
    project.file("2026-01").write_bytes(code)
    commands = (["plan"], ["verify"], ["adopt"], ["new", "x"])
    for refused in [project.partman(*command) for command in commands]:
        _assert_it_names(refused, ExitCode.PREFLIGHT, project.file("2026-01"), reason)
    assert rows(project.database, "SELECT to_regclass('migration_history')") == [(None,)]
    for refused in (project.forwards(), project.partman("migrate")):
        _assert_it_names(refused, ExitCode.MIGRATION, project.file("2026-01"), reason)
    recorded = "SELECT migration, outcome FROM migration_history"
    assert rows(project.database, recorded) == [("2026-01", "failed")] * 2


def _assert_it_names(refused: Completed, code: ExitCode, file: Path, reason: str) -> None:
    assert refused.code == code, refused.output
    assert refused.stderr.count("\n") in {1, 2}  # migrate says the version before
    assert f"{file} cannot be read: " in refused.stderr
    assert reason in refused.stderr


def test_a_comment_behind_an_id_and_a_byte_order_mark_make_no_difference(project: Project) -> None:
    for name, mark in (("2026-01", b""), ("2026-02", b"\xef\xbb\xbf")):
        path = project.write(name, [f'CREATE TABLE "{name}" (id int)'])
        code = path.read_bytes().replace(f'"{name}"'.encode(), f'"{name}"  # noqa'.encode(), 1)
        path.write_bytes(mark + code)
    pending = project.partman("status")
    assert pending.code == ExitCode.NO
    assert "2 pending" in pending.stdout
    assert "2 migrations applied" in project.partman("migrate").stdout
    for command in ("status", "migrate"):
        completed = project.partman(command)
        assert completed.code == 0, completed.output
