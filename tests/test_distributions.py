"""`make dist` gives the same bytes, whoever runs it, where and when."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from release.distributions import build, copy_tracked_files
from tests.environment import ROOT

pytestmark = pytest.mark.clone


def test_another_checkout_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    made = build(tmp_path / "one", ROOT)
    elsewhere = tmp_path / "another checkout"
    copy_tracked_files(ROOT, elsewhere)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", "-C", str(elsewhere), *command], check=True)
    for file in elsewhere.rglob("*.py"):
        file.chmod(0o640)
        os.utime(file, (1, 1))
    (elsewhere / "partman" / "forgotten.py").write_text("unknown to git\n")
    again = build(tmp_path / "two", elsewhere)
    assert [each.name for each in made] == [each.name for each in again]
    assert [each.suffix for each in made] == [".gz", ".whl", ".json"]
    assert [each.read_bytes() for each in made] == [each.read_bytes() for each in again]

    with tarfile.open(fileobj=io.BytesIO(made[0].read_bytes())) as archive:
        members = archive.getmembers()
    assert {(each.mtime, each.uid, each.uname) for each in members} == {(1790000000, 0, "")}
    names = {each.name.partition("/")[2] for each in members}
    assert {"LICENSE", "README.md", "pyproject.toml", "partman/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "release"))]
