"""The wheel, installed into a clean environment, in the folder of another project."""

import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serve.processes import Service, serving
from tests.support import MIGRATIONS, ROOT, Database, clean_environment, script

pytestmark = pytest.mark.clone

CONF = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from partman.tables import TENANCY

DB = PartmanEngine(tenancy=TENANCY)
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
    # The plugin needs pytest, which only the extra "testing" installs.
    if not name.endswith("__main__") and not name.startswith("partman.testing"):
        importlib.import_module(name)
print(len(names))
"""
COMMAND_TREE = (ROOT / "tests" / "docs" / "command_tree.py").read_text()
EVERY_HELP = """
from typer.testing import CliRunner
from partman import project

def ask(*words):
    asked = CliRunner().invoke(app, [*words, "--help"])
    first = f"Usage: {' '.join(('partman', *words))} ["
    assert asked.exit_code == 0 and first in asked.output, (words, asked.output, asked.exception)
    print(*words)

def ask_all(command, *words):
    ask(*words)
    for name, found in subcommands(command).items():
        ask_all(found, *words, name)

project.enter()
ask_all(root())
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
    """The scripts of an environment with only the pinned packages and the wheel."""
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


def project(folder: Path, conf: str) -> Path:
    made = folder / "another project"
    made.mkdir()
    (made / "piccolo_conf.py").write_text(conf)
    return made


def commands_with_help(installed: Path, folder: Path) -> set[str]:
    """Return the commands of a project, after each has answered ``--help``."""
    return set(run(folder, str(installed / "python"), "-c", COMMAND_TREE + EVERY_HELP).splitlines())


def test_it_works_in_a_project_that_registers_the_app(
    installed: Path, empty_database: Database, tmp_path: Path
) -> None:
    folder = project(tmp_path, CONF)
    assert int(run(folder, str(installed / "python"), "-c", EVERY_MODULE)) > 100
    commands = commands_with_help(installed, folder)
    assert {"migrate", "serve", "server start", "admin", "admin create"} <= commands
    partman = str(installed / "partman")
    migrated = run(folder, partman, "migrate", **empty_database.environment)
    assert f"{len(MIGRATIONS)} migrations applied." in migrated
    assert "no accounts" in run(folder, partman, "admin", "list", **empty_database.environment)
    with served(installed, folder, empty_database) as service:
        assert service.request("/health/live").status == 200
        assert service.request("/sign-in").status == 200


def test_another_project_gets_nothing_of_the_app(
    installed: Path, empty_database: Database, tmp_path: Path
) -> None:
    folder = project(tmp_path, OF_NOBODY)
    commands = commands_with_help(installed, folder)
    assert {"migrate", "serve", "server start"} <= commands
    assert not {command for command in commands if command.startswith(("admin", "seed"))}
    migrated = run(folder, str(installed / "partman"), "migrate", **empty_database.environment)
    assert "Nothing to do." in migrated
    with served(installed, folder, empty_database) as service:
        assert service.request("/health/live").status == 200
        assert service.request("/sign-in").status == 404


@contextmanager
def served(installed: Path, folder: Path, database: Database) -> Iterator[Service]:
    """The service of a project, which finds nothing of this checkout."""
    environment = database.environment | {"PYTHONPATH": ""}
    command = (str(installed / "partman"), "serve", "--port", "0")
    with serving(folder, environment, *command, cwd=folder) as service:
        yield service
