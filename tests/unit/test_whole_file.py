"""A file is there as a whole or not at all, whatever happens while it is written."""

import errno
import os
import signal
from pathlib import Path

import pytest

from partman.migration.autogenerate.trial_files import File, keep
from partman.whole_file import new_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: bytes) -> None:
    with new_file(path) as file:
        file.write(text)


def without_links(source: Path, target: Path) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))


@pytest.fixture(params=["with links", "without links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "without links":
        monkeypatch.setattr(os, "link", without_links)
    return tmp_path


def test_it_is_written(folder: Path) -> None:
    write(folder / "file", b"whole")
    assert (folder / "file").read_bytes() == b"whole"
    assert names(folder) == ["file"]


def test_it_replaces_none_that_has_come_since(folder: Path) -> None:
    def write_while_another_does() -> None:
        with new_file(folder / "file") as file:
            file.write(b"mine")
            (folder / "file").write_bytes(b"another's")

    with pytest.raises(FileExistsError):
        write_while_another_does()
    assert (folder / "file").read_bytes() == b"another's"
    assert names(folder) == ["file"]


def test_nothing_is_left_of_one_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(folder / "file", b"half")
    assert names(folder) == []


def test_a_killed_process_leaves_no_half_file(folder: Path) -> None:
    child = os.fork()
    if child == 0:
        with new_file(folder / "file") as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (folder / "file").exists()
    write(folder / "file", b"whole")
    assert names(folder) == ["file"]


def migration(path: Path) -> File:
    return File("shop", path.stem, "", online=False, path=path, text=f"# {path.stem}\n")


def test_of_several_migrations_all_are_written_or_none(folder: Path) -> None:
    files = [migration(folder / name) for name in ("first.py", "second.py")]
    files[1].path.touch()
    with pytest.raises(Exception, match=r"cannot be written: .* No file was written"):
        keep(files)
    assert names(folder) == ["second.py"]
    files[1].path.unlink()
    keep(files)
    assert [file.path.read_text() for file in files] == [file.text for file in files]
    assert names(folder) == ["first.py", "second.py"]
