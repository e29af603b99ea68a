"""What makes a migration another one, and what does not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from partman.migration.ledger import checksum as module
from partman.migration.ledger.checksum import checksum, digest, sums

MIGRATION = '''\
"""Partners get a tier."""

from partman.migration import MigrationManager

ID = "2026-12-01T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "tier"


async def forwards():
    """Forwards."""
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    # For everybody.
    manager.add_sql(forwards=f"ALTER TABLE {'partners'} ADD COLUMN tier text", backwards=None)
    manager.add_sql(forwards=["ANALYZE"], backwards=[])
    return manager
'''

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "migration.py"
        path.write_text(text, "utf-8")
        return path

    return to_file


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # For everybody.\n", ""),
        ("# For everybody.", "# For some, as I see now."),
        ('"""Partners get a tier."""\n', ""),
        ('    """Forwards."""\n', ""),
        ("partners get", "Every partner gets"),
        ('"tier"', '"a tier for partners"'),
        ('"1.38.0"', '"1.38.1"'),
        ('"partman"', "'partman'"),
        ("\n\n\nasync", "\nasync"),
        ("add_sql(forwards=[", "add_sql(\n        forwards=["),
        ("backwards=[])", "backwards=[],)"),
        ("return manager\n", "return manager"),
        ("\n", "\r\n"),
    ],
)
def test_how_it_is_written_does_not_matter(write: Write, old: str, new: str) -> None:
    before = checksum(write(MIGRATION))
    assert checksum(write(MIGRATION.replace(old, new))) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tier text", "tier varchar"),
        ("tier text", "tier  text"),  # in SQL, a space may matter
        ("2026-12-01", "2026-12-02"),
        ("backwards=None", 'backwards="SELECT"'),
        ('["ANALYZE"]', '["ANALYZE", "ANALYZE"]'),
        ('["ANALYZE"]', '("ANALYZE",)'),
        ("async def", "def"),
        ("    return manager", "    manager.online()\n    return manager"),
        ("MigrationManager(", "dict("),
        ("{'partners'}", "{'users'}"),
        ("return manager", "return"),
        ("None", "False"),
    ],
)
def test_what_it_does_matters(write: Write, old: str, new: str) -> None:
    before = checksum(write(MIGRATION))
    assert old in MIGRATION
    assert checksum(write(MIGRATION.replace(old, new))) != before


def test_the_order_of_statements_matters(write: Write) -> None:
    lines = MIGRATION.splitlines(keepends=True)
    first, second = (n for n, line in enumerate(lines) if "add_sql" in line)
    swapped = list(lines)
    swapped[first], swapped[second] = lines[second], lines[first]
    assert checksum(write("".join(swapped))) != checksum(write(MIGRATION))


def test_the_digest_is_of_the_bytes(write: Write) -> None:
    before = digest(write(MIGRATION))
    assert digest(write(MIGRATION)) == before
    assert digest(write(f"{MIGRATION}# Another.\n")) != before


def test_both_are_of_the_same_bytes(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the file is written in between: it is read once."""
    path = write(MIGRATION)
    expected = (checksum(path), digest(path))
    read = Path.read_bytes

    def read_and_change(self: Path) -> bytes:
        found = read(self)
        self.write_text("ID = 1")
        return found

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    assert sums(path) == expected


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_every_python_computes_the_same(write: Write, version: str) -> None:
    """A database that was migrated by one Python is deployed to by another."""
    path = write(MIGRATION)
    python = _python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    script = "import runpy, sys, pathlib; " + (
        "print(runpy.run_path(sys.argv[1])['checksum'](pathlib.Path(sys.argv[2])))"
    )
    completed = subprocess.run(
        [python, "-I", "-c", script, str(module.__file__), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.strip() == checksum(path)


def _python(version: str) -> str | None:
    """An interpreter of this version, on the PATH or where pyenv puts it."""
    installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    candidates = [f"python{version}", *map(str, installed)]
    for candidate in candidates:
        try:
            said = subprocess.run(
                [candidate, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue
        if said.stdout.strip() == version:
            return candidate
    return None
