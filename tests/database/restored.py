"""Restore a database's own dump into another one."""

import os
import subprocess

from tests.psql import client_program
from tests.support import Database, as_role, execute, query


def restore(source: Database, target: Database, *, rows: bool = False) -> None:
    """Run ``pg_dump source | psql target``, as a superuser, who may give objects to any role."""
    environment = {"PATH": os.environ["PATH"]}
    command = [client_program("pg_dump"), "--inserts" if rows else "--schema-only", source.url]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    options = ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]
    psql = [str(client_program("psql")), *options, as_role(target.url, "postgres")]
    subprocess.run(
        psql, input=dumped.stdout, capture_output=True, text=True, check=True, env=environment
    )
    # pg_dump leaves out the rights on the database as a whole.
    if query(
        source.url, "SELECT FROM pg_database WHERE datname = $1 AND datacl <> '{}'", source.name
    ):
        execute(target.url, f"REVOKE TEMPORARY ON DATABASE {target.name} FROM PUBLIC")
