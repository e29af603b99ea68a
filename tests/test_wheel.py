"""The wheel, installed into a clean environment, in a folder of another project."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT, clean_environment, script, temporary_database

pytestmark = pytest.mark.clone

CONF = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from partman.isolation import Tenancy

DB = PartmanEngine(tenancy=Tenancy())
APP_REGISTRY = AppRegistry(apps=["partman.piccolo_app"])
"""
OF_NOBODY = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine

DB = PartmanEngine()
APP_REGISTRY = AppRegistry(apps=[])
"""
EVERY_MODULE = """
import importlib, pkgutil, partman
names = [m.name for m in pkgutil.walk_packages(partman.__path__, "partman.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def run(folder: Path, *command: str, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(ROOT, script("uv"), "build", "--quiet", "--wheel", "--out-dir", str(folder))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that has the pinned packages and the wheel, and no more."""
    folder = tmp_path_factory.mktemp("installed") / "an environment"
    uv, python = script("uv"), str(folder / "bin" / "python")
    run(ROOT, uv, "venv", "--quiet", str(folder))
    pinned = ("--no-deps", "--require-hashes", "-r", str(ROOT / "requirements" / "serve.txt"))
    run(ROOT, uv, "pip", "install", "--quiet", "--python", python, *pinned)
    run(ROOT, uv, "pip", "install", "--quiet", "--python", python, "--no-deps", str(wheel))
    return folder / "bin"


def test_the_wheel_has_partman_and_nothing_else_at_its_top(wheel: Path) -> None:
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"partman"}


def test_it_works_in_a_project_that_registers_the_app(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "another project"
    folder.mkdir()
    (folder / "piccolo_conf.py").write_text(CONF)
    assert int(run(folder, str(installed / "python"), "-c", EVERY_MODULE)) > 100
    partman = str(installed / "partman")
    assert "admin" in run(folder, partman, "--help")
    with temporary_database() as database:
        migrated = run(folder, partman, "migrate", **database.environment)
        assert "7 migrations applied." in migrated
        assert "Nobody" in run(folder, partman, "admin", "list", **database.environment)


def test_another_project_gets_nothing_of_the_app(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "another project"
    folder.mkdir()
    (folder / "piccolo_conf.py").write_text(OF_NOBODY)
    partman = str(installed / "partman")
    assert "admin" not in run(folder, partman, "--help")
    with temporary_database() as database:
        assert "Nothing to do." in run(folder, partman, "migrate", **database.environment)
