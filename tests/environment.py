"""The environment in which commands are started, and their results."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Completed:
    """The exit code and the output of a process."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def script(name: str) -> str:
    """Return the path of a console script of the tests' environment."""
    return str(Path(sys.executable).parent / name)


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a new shell, without variables that name another database."""
    ours = re.compile(r"PARTMAN_|DATABASE_URL|PICCOLO_CONF|PYTEST_|PG[A-Z]+$")
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    scripts = str(Path(sys.executable).parent)
    return (
        inherited
        | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "200"}
        | {"PARTMAN_PROGRESS": "off"}  # however slow the machine is
        | variables
    )
