"""A document's commands run the code of their own checkout, which no document leaves changed."""

import subprocess
from pathlib import Path

from tests.docs.environments import Clone
from tests.docs.following import copy_checkout
from tests.faults.processes import zygote_of
from tests.support import ROOT, run


def test_a_checkouts_commands_import_its_partman_and_no_older_text(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    (tmp_path / "told.py").write_text(
        "import partman.settings, partman.tables\n"
        "print(partman.settings.__file__, partman.tables.__file__, *partman.tables.__path__)\n"
    )
    command, environment = ("python", "-m", "told"), {"PYTHONPATH": str(tmp_path)}
    with zygote_of(tmp_path, "commands") as level:
        told = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert told.code == 0, told.output
        assert all(path.startswith(f"{tmp_path}/partman/") for path in told.stdout.split())

        added = tmp_path / "partman" / "tables" / "added.py"
        added.write_text("print('added')\n")
        told_more = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert told_more.stdout == f"added\n{told.stdout}"
        added.unlink()
        table = tmp_path / "partman" / "tables" / "alert.py"
        text = table.read_text()
        table.write_text(f"{text}\nprint('edited')\n")
        told_more = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert told_more.stdout == f"edited\n{told.stdout}"
        table.write_text(text)
        as_before = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert as_before.stdout == told.stdout

        elsewhere = run(*command, environment={}, cwd=ROOT, level=level)
        assert "a partman of its own" in elsewhere.stderr

        with (tmp_path / "partman" / "settings.py").open("a") as file:
            file.write("# edited\n")
        edited = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert edited.code == 1
        assert "edited after this process had imported it" in edited.stderr


def test_a_document_finds_the_clone_as_the_one_before_it_did(clone: Clone) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(clone.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def state() -> list[str]:
        everything = ("status", "--porcelain", "--branch", "--ignored", ":!*__pycache__*")
        return [git("rev-parse", "HEAD"), git("branch"), git("config", "--list"), git(*everything)]

    before = state()
    table = clone.folder / "partman" / "tables" / "alert.py"
    text = table.read_text()
    git("switch", "--quiet", "--create", "ada")
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.com")
    table.write_text("# edited\n")
    git("commit", "--quiet", "--all", "--message", "An edit")
    table.unlink()
    (clone.folder / "new.py").touch()
    (clone.folder / ".partman").mkdir()
    (clone.folder / ".partman" / "kept").touch()
    assert state() != before
    clone.restore()
    assert state() == before
    assert table.read_text() == text
    assert not (clone.folder / ".partman").exists()
