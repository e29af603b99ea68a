"""psql and the other client programs, as new as the tests' server."""

import os
import subprocess
from pathlib import Path

from partman.database import pg_dump
from tests.support import administrator


def client_program(name: str) -> Path:
    """Return a program of PostgreSQL's: an older one cannot read what a newer pg_dump prints."""
    [(version,)] = administrator().ask("SHOW server_version_num")
    found = pg_dump.find(int(version) // 10000)
    assert found is not None, "there are no client programs for the tests' server"
    return found.with_name(name)


def run_script(url: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as its header says."""
    return subprocess.run(
        [client_program("psql"), "--no-psqlrc", "--file", "-", url],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PGOPTIONS": ""},
    )
