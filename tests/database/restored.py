"""Restore a database's own dump into another one."""

import os
import subprocess

from partman.database import pg_dump
from tests.support import Database, as_role, execute, query


def restore(source: Database, target: Database, *, rows: bool = False) -> None:
    """Run ``pg_dump source | psql target``, as a superuser, who may give objects to any role."""
    major = query(source.url, "SELECT current_setting('server_version_num')::int / 10000")[0][0]
    program = pg_dump.find(major)
    assert program is not None
    environment = {"PATH": os.environ["PATH"]}
    command = [str(program), "--inserts" if rows else "--schema-only", source.url]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    # Older programs know no \restrict, and newer servers accept all that is left.
    script = "\n".join(line for line in dumped.stdout.splitlines() if not line.startswith("\\"))
    psql = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]
    psql.append(as_role(target.url, "postgres"))
    subprocess.run(psql, input=script, capture_output=True, text=True, check=True, env=environment)
    # pg_dump leaves out the rights on the database as a whole.
    if query(
        source.url, "SELECT FROM pg_database WHERE datname = $1 AND datacl <> '{}'", source.name
    ):
        execute(target.url, f"REVOKE TEMPORARY ON DATABASE {target.name} FROM PUBLIC")
