"""The README's commands in a new clone with a space in its path: with make, pip and uv."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import MIGRATIONS, ROOT, Completed, clean_environment

pytestmark = pytest.mark.clone

INDEXES = {
    "idx_organizations_subdomain",
    "idx_users_org_email",
    "idx_partners_org_domain",
    "idx_opportunities_org_stage",
    "idx_opportunities_partner",
    "idx_opportunities_assigned_user",
    "idx_alerts_user_status",
}

QUICKLY = {"PIP_NO_COMPILE": "0"}
"""Skip compiling the modules that these tests never import. A false value is what turns it on: pip
takes the variable of an option named "no-" for the option without it.
"""


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A clone with the uncommitted changes; its server is stopped afterwards."""
    folder = tmp_path / "a fresh clone"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _release_a_newer_pydantic(folder)
    with ExitStack() as stack:
        stack.callback(_stop_server, folder)
        yield folder


def _newer(folder: Path) -> Path:
    return folder.parent / "newer"


def _release_a_newer_pydantic(folder: Path) -> None:
    """Publish a newer release, as after locking; Piccolo wants this one with an extra."""
    _newer(folder).mkdir()
    about = "pydantic-2.999.dist-info"
    with zipfile.ZipFile(_newer(folder) / "pydantic-2.999-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: pydantic\nVersion: 2.999\nProvides-Extra: email\n",
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def _stop_server(folder: Path) -> None:
    partman = folder / ".venv" / "bin" / "partman"
    if partman.exists():
        sh(folder, ".venv/bin/partman server stop")


def sh(folder: Path, command: str) -> Completed:
    """Run a line of the README in a new shell that has only Python and make."""
    python = Path(sys.base_prefix) / "bin"
    found = f"{os.environ.get('PIP_FIND_LINKS', '')} {_newer(folder)}"
    environment = clean_environment(**QUICKLY, PIP_FIND_LINKS=found)
    environment["PATH"] = f"{python}{os.pathsep}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    environment.pop("VIRTUAL_ENV", None)
    process = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Completed(process.returncode, process.stdout, process.stderr)


def psql(folder: Path, sql: str) -> set[str]:
    completed = sh(folder, f'.venv/bin/partman server psql -- -Atc "{sql}"')
    assert completed.code == 0, completed.output
    return set(completed.stdout.split())


def test_make_migrate_builds_everything_and_then_changes_nothing(clone: Path) -> None:
    first = sh(clone, "make migrate")
    assert first.code == 0, first.output
    assert first.stdout.count("ok! ✔️") == len(MIGRATIONS)
    named = "indexname LIKE 'idx%' AND tablename NOT LIKE 'console%'"
    assert psql(clone, f"SELECT indexname FROM pg_indexes WHERE {named}") == INDEXES
    secured = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity"
    assert len(psql(clone, secured)) == 6
    before = psql(clone, "SELECT xmin FROM migration")
    second = sh(clone, "make migrate")
    assert second.code == 0, second.output
    assert "No migrations need to be run" in second.stdout
    assert psql(clone, "SELECT xmin FROM migration") == before


@pytest.mark.parametrize(
    "install",
    [
        "python3 -m venv .venv && .venv/bin/pip install -q --no-deps --require-hashes "
        "-r requirements/embedded.txt && .venv/bin/pip install -q --no-deps -e .",
        '"$UV" venv -q .venv && "$UV" pip install -q --no-deps --require-hashes '
        '-r requirements/embedded.txt && "$UV" pip install -q --no-deps -e .',
    ],
    ids=["pip", "uv"],
)
def test_the_same_without_make(clone: Path, install: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    installed = sh(clone, f'UV="{uv}"; {install}')
    assert installed.code == 0, installed.output
    migrated = sh(clone, ".venv/bin/piccolo migrations forwards all")
    assert migrated.code == 0, migrated.output
    assert migrated.stdout.count("ok! ✔️") == len(MIGRATIONS)


@pytest.mark.skipif(os.geteuid() != 0, reason="this is a normal user already")
def test_make_migrate_works_for_a_normal_user(clone: Path) -> None:
    """As the user nobody, with a Python that this user cannot read."""
    python = shutil.which("python3.11", path="/usr/bin") or shutil.which("python3", path="/usr/bin")
    if python is None or not _has_venv(python):
        pytest.skip("the system's Python, which a normal user can reach, has no venv module")
    folder = Path(shutil.move(clone, f"/var/tmp/{clone.parent.name} {os.getpid()}"))  # noqa: S108
    try:
        subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
        process = subprocess.run(
            ["make", "migrate", f"PYTHON={python}"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **_package_index(), **QUICKLY},
            user="nobody",
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        assert process.stdout.count("ok! ✔️") == len(MIGRATIONS)
    finally:
        subprocess.run(
            [str(folder / ".venv/bin/partman"), "server", "stop"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
            user="nobody",
            check=False,
        )
        shutil.rmtree(folder)


def _has_venv(python: str) -> bool:
    asked = subprocess.run(
        [python, "-c", "import ensurepip, venv"], capture_output=True, check=False
    )
    return asked.returncode == 0


def _package_index() -> dict[str, str]:
    """Return pip's configured index, which a normal user's pip would use too."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
