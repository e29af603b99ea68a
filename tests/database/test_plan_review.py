"""`partman plan` for a review: against a revision of git, as Markdown, at the lines of files."""

import subprocess
from pathlib import Path

import pytest

from tests.project import Project
from tests.support import Completed, query

pytestmark = pytest.mark.same_on_every_version


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def branch(project: Project) -> Project:
    """A repository whose main has one migration, which its database has not."""
    project.write("1", ["CREATE TABLE t (id int PRIMARY KEY, n int)"])
    git(project.folder, "init", "--quiet", "--initial-branch", "main")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "--quiet", "--message", "first")
    return project


def plan(project: Project, *arguments: str, code: int = 0) -> Completed:
    ended = project.partman("plan", "--base", "main", *arguments)
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output
    return ended


def test_it_plans_what_is_new_on_a_database_built_at_the_revision(branch: Project) -> None:
    said = plan(branch).stdout
    assert said == "nothing pending  The schema version is 1.\n"
    branch.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    said = plan(branch, "--fail-on", "blocks-writes", code=1).stdout
    assert said.startswith(
        "blocks writes  1 migration tried at version 1; no rows were seen\n\nblocks writes  2"
    )
    tables = query(branch.database.url, "SELECT relname FROM pg_class WHERE relname = 't'")
    assert tables == []


def test_a_migration_that_landed_may_not_be_edited_or_removed(branch: Project) -> None:
    branch.write("2", ["CREATE TABLE u ()"])
    git(branch.folder, "add", ".")
    git(branch.folder, "commit", "--quiet", "--message", "second")
    file = branch.file("2")
    file.write_text(f"# only a comment\n{file.read_text()}")
    plan(branch)
    branch.write("2", ["CREATE TABLE v ()"])
    ended = plan(branch, code=10)
    assert "extra/piccolo_migrations/extra_2.py was edited since main" in ended.stderr
    file.unlink()
    ended = plan(branch, code=10)
    assert "extra/piccolo_migrations/extra_2.py was removed since main" in ended.stderr


def test_a_revision_that_is_unknown_is_a_line(branch: Project) -> None:
    ended = branch.partman("plan", "--base", "nowhere")
    assert ended.code == 3, ended.output
    assert "git has no revision nowhere" in ended.stderr
    assert "git fetch --depth 1 origin nowhere" in ended.stderr


def test_markdown_has_the_verdicts_and_the_sql_folded(branch: Project) -> None:
    branch.write("2", ["CREATE INDEX i ON t (n) -- a | b `c` ```"], ["DROP INDEX i"])
    branch.write("3", ["DROP TABLE t"])
    text = plan(branch, "--format", "markdown").stdout
    lines = text.splitlines()
    assert lines[0] == "<!-- partman plan -->"
    assert lines[1].startswith("### 2 migrations: ")
    assert (
        "| `2` | 🟡 blocks writes | blocks writes of t while it builds an index on t (i) |" in lines
    )
    assert any(line.startswith("| `3`") and "loses data" in line for line in lines)
    assert text.count("<details>") == text.count("</details>") == 2
    assert "````sql\nCREATE INDEX i ON t (n) -- a | b `c` ```" in text
    assert "Back: " in text


def test_markdown_without_migrations_and_with_one_that_fails(branch: Project) -> None:
    assert "### No migrations" in plan(branch, "--format", "markdown").stdout
    branch.write("2", ["SELECT 1 / 0"])
    text = plan(branch, "--format", "markdown", code=7).stdout
    assert "### 1 migration: ❌ fails" in text
    assert "division by zero" in text


def test_annotations_are_at_the_lines_of_the_files(branch: Project) -> None:
    file = branch.write("2", ["SELECT 1", "CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    ended = plan(branch, "--format", "github", "--fail-on", "blocks-writes", code=1)
    found = [line for line in ended.stdout.splitlines() if line.startswith("::")]
    name = file.relative_to(branch.folder)
    function = next(
        number
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if line.startswith("async def forwards")
    )
    assert any(
        each.startswith("::warning ") and f"line={function},title=blocks writes::" in each
        for each in found
    ), found
    assert all(str(name) in each for each in found), found


def test_json_is_a_format_too(branch: Project) -> None:
    assert plan(branch, "--format", "json").stdout == plan(branch, "--json").stdout


def test_a_repository_is_needed(project: Project) -> None:
    project.write("1", ["CREATE TABLE t ()"])
    ended = project.partman("plan", "--base", "main")
    assert ended.code == 3, ended.output
    assert "git" in ended.stderr
    assert "Nothing was tried." in ended.stderr


def test_the_live_database_is_not_asked(branch: Project) -> None:
    """It is not at the revision, and need not exist: only its server is used."""
    branch.write("2", ["CREATE TABLE u ()"])
    ended = plan(branch, "--scratch", "server")
    assert ended.stdout.startswith("safe live  1 migration tried at version 1")


def test_a_summary_is_written_beside_another_format(branch: Project, tmp_path: Path) -> None:
    branch.write("2", ["CREATE TABLE u ()"])
    file = tmp_path / "summary.md"
    ended = plan(branch, "--format", "github", "--summary", str(file))
    assert file.read_text() == plan(branch, "--format", "markdown").stdout
    assert ended.stdout == ""
    ended = plan(branch, "--summary", str(tmp_path / "none" / "summary.md"), code=2)
    assert "No such file or directory" in ended.stderr
