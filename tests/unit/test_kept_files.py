"""What is kept of migration files is what reading them says, whatever happens to them."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partman.migration.ledger import checksum, kept_files
from partman.migration.ledger.checksum import digest, sums
from partman.migration.ledger.kept_files import Facts, KeptFiles
from partman.sources import NotReadableError
from partman.sources.migrations import MigrationSource, read_migration

pytestmark = pytest.mark.same_on_every_version

NAMES = ("one.py", "two.py", "three.py")
TEXTS = [f'ID = "{letter}"\nDESCRIPTION = "{letter}"\n' for letter in "abc"]


def rewrite(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def rewrite_and_put_time_back(folder: Path, name: str, text: str) -> None:
    """The size is the same, too."""
    path = folder / name
    was = path.stat() if path.exists() else folder.stat()
    path.write_text(text)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def replace(folder: Path, name: str, text: str) -> None:
    new = folder / "new"
    new.write_text(text)
    if (folder / name).exists():
        shutil.copystat(folder / name, new)
    new.replace(folder / name)


def touch(folder: Path, name: str, _: str) -> None:
    (folder / name).touch()


def rename(folder: Path, name: str, _: str) -> None:
    if (folder / name).exists():
        (folder / name).rename(folder / NAMES[(NAMES.index(name) + 1) % len(NAMES)])


def delete(folder: Path, name: str, _: str) -> None:
    (folder / name).unlink(missing_ok=True)


def tear(folder: Path, _: str, text: str) -> None:
    """A part of what is kept is lost, or mixed with what another has written."""
    kept = folder / "kept" / kept_files.NAME
    if kept.exists():
        code = kept.read_bytes()
        kept.write_bytes(code[: len(code) * (1 + "abc".index(text[6])) // 3 - 1])


def spoil(folder: Path, *_: str) -> None:
    kept = folder / "kept" / kept_files.NAME
    if kept.exists():
        kept.write_text(kept.read_text().replace('"a"', '"b"'))


EDITS: list[Callable[[Path, str, str], None]] = [
    rewrite, rewrite_and_put_time_back, replace, touch, rename, delete, tear, spoil,
]  # fmt: skip
edits = st.lists(
    st.tuples(st.sampled_from(EDITS), st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    min_size=1,
    max_size=8,
)


@pytest.fixture(autouse=True)
def keeps_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_files, "_FEWEST", 1)


@settings(max_examples=30)
@given(edits)
def test_what_is_kept_is_what_the_files_say(
    edits: list[tuple[Callable[[Path, str, str], None], str, str]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as temporary,
        mock.patch.object(kept_files, "_UNSURE", -1),  # a test cannot make a file older
    ):
        folder = Path(temporary)
        for name, text in zip(NAMES, TEXTS, strict=True):
            rewrite(folder, name, text)
        for edit, name, text in edits:
            found(folder)
            next_tick(folder)
            edit(folder, name, text)
            assert found(folder) == as_read(folder)
            assert found(folder) == as_read(folder)


Found = dict[str, tuple[Facts, str]]
"""The facts of each file, and its checksum."""


def found(folder: Path) -> Found:
    """Return what a command finds, which keeps it for the next one."""
    checksum.known.clear()  # each command is a process
    kept = KeptFiles(folder / "kept" / kept_files.NAME)
    facts = {path: kept.facts(str(path), read_migration) for path in migrations(folder)}
    result = {path.name: (each, sums(path)[0]) for path, each in facts.items()}
    for path in facts:  # as after a run
        kept.facts(str(path), read_migration)
    kept.save()
    return result


def as_read(folder: Path) -> Found:
    return {path.name: (facts_in(path), checksum_of(path)) for path in migrations(folder)}


def facts_in(path: Path) -> Facts:
    read = read_migration(path)
    return Facts(read.id, read.description, digest(path))


def checksum_of(path: Path) -> str:
    with mock.patch.dict(checksum.known, clear=True):
        return checksum.checksum(path)


def migrations(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py"))


def next_tick(folder: Path) -> None:
    """Wait until the file system's clock has moved on: a few milliseconds."""
    probe = folder / "clock"
    probe.touch()
    began = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == began:
        probe.touch()


def test_nothing_is_read_while_nothing_has_changed(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(TEXTS[0])
    with mock.patch.object(kept_files, "_UNSURE", -1):
        before = as_read(tmp_path)
        assert found(tmp_path) == before
    checksum.known.clear()
    kept = KeptFiles(tmp_path / "kept" / kept_files.NAME)
    assert kept.facts(str(tmp_path / "one.py"), fail).id == "a"
    with mock.patch("ast.parse", fail):
        assert sums(tmp_path / "one.py") == (before["one.py"][1], digest(tmp_path / "one.py"))


def test_a_process_reads_a_file_once_while_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are too few to keep them for the next process."""
    monkeypatch.setattr(kept_files, "_FEWEST", 2)
    monkeypatch.setattr(kept_files, "_UNSURE", -1)
    monkeypatch.setattr(kept_files, "data_directory", lambda: tmp_path / "kept")
    file = tmp_path / "one.py"
    for text in TEXTS[:2]:
        file.write_text(text)
        assert kept_files.kept_files().facts(str(file), read_migration) == facts_in(file)
        assert kept_files.kept_files().facts(str(file), fail) == facts_in(file)
        next_tick(tmp_path)


def test_a_file_that_was_just_changed_is_not_kept(tmp_path: Path) -> None:
    """It could be changed once more within the same tick of the clock."""
    (tmp_path / "one.py").write_text(TEXTS[0])
    assert found(tmp_path) == as_read(tmp_path)
    kept = KeptFiles(tmp_path / "kept" / kept_files.NAME)
    with pytest.raises(AssertionError):
        kept.facts(str(tmp_path / "one.py"), fail)


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(TEXTS[0])
    kept = KeptFiles(tmp_path / "kept" / kept_files.NAME)

    def read(path: Path) -> MigrationSource:
        before = read_migration(path)
        next_tick(tmp_path)
        path.write_text(TEXTS[1])
        return before

    with mock.patch.object(kept_files, "_UNSURE", -1):
        assert kept.facts(str(path), read) == Facts("a", "a", None)
        assert kept.facts(str(path), read_migration) == facts_in(path)


def test_other_code_reads_the_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.py").write_text(TEXTS[0])
    with mock.patch.object(kept_files, "_UNSURE", -1):
        found(tmp_path)
        monkeypatch.setattr("sys.version", "4.0")
        with pytest.raises(AssertionError):
            KeptFiles(tmp_path / "kept" / kept_files.NAME).facts(str(tmp_path / "one.py"), fail)


@pytest.mark.parametrize("obstacle", ["file", "missing", "folder"])
def test_where_nothing_can_be_kept_the_files_are_read(tmp_path: Path, obstacle: str) -> None:
    one = tmp_path / "one.py"
    one.write_text(TEXTS[0])
    if obstacle == "file":
        (tmp_path / "kept").touch()
    elif obstacle == "folder":
        (tmp_path / "kept" / kept_files.NAME / "x").mkdir(parents=True)
    path = tmp_path / "kept" / ("x/y/z" if obstacle == "missing" else kept_files.NAME)
    with mock.patch.object(kept_files, "_UNSURE", -1):
        for _ in range(2):
            kept = KeptFiles(path)
            assert kept.facts(str(one), read_migration) == facts_in(one)
            kept.save()


def test_a_file_that_cannot_be_read_is_an_error_each_time(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("ID = (\n")
    for _ in range(2):
        with mock.patch.object(kept_files, "_UNSURE", -1), pytest.raises(NotReadableError):
            found(tmp_path)


def fail(read: object) -> MigrationSource:
    raise AssertionError(read)
