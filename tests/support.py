"""What the tests share: databases on a real server, and commands as real processes."""

import asyncio
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from partman.migration.ledger.files import migration_files

ROOT = Path(__file__).resolve().parent.parent
SERVER_VARIABLE = "PARTMAN_TEST_DATABASE_URL"
MIGRATIONS = tuple(file.id for file in migration_files())
"""The IDs of the project's own, oldest first."""
SIX_TABLES = {"organizations", "users", "partners", "opportunities", "quarterly_goals", "alerts"}
CONSOLE_TABLES = {"console_accounts", "console_sessions"}


@dataclass(frozen=True)
class Database:
    """A throw-away database."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.removeprefix("/")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process works on it, in development."""
        return {"DATABASE_URL": self.url, "PARTMAN_ENV": "development"}


@dataclass(frozen=True)
class Completed:
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def server_url() -> str:
    """The server that the tests run on; see conftest.py."""
    return os.environ[SERVER_VARIABLE]


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def as_role(url: str, role: str) -> str:
    """The same database, as somebody else: the servers of the tests ask for no password."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}@{address}"))


def execute(url: str, *statements: str) -> None:
    """Run statements, each on its own, one after the other."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def query(url: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def temporary_database(template: str | None = None) -> Iterator[Database]:
    name = f"partman_test_{uuid.uuid4().hex[:12]}"
    # The server copies files: no checkpoint for each clone of a template.
    copy = f"TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
    execute(server_url(), f"CREATE DATABASE {name} {copy}")
    database = Database(with_database(server_url(), name))
    try:
        # Rights on a database are not copied with it.
        rights = "SELECT FROM pg_database WHERE datname = $1 AND datacl IS NOT NULL"
        if template and query(database.url, rights, template):
            execute(database.url, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        yield database
    finally:
        execute(server_url(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def script(name: str) -> str:
    """A console script of the environment the tests run in."""
    return str(Path(sys.executable).parent / name)


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a fresh shell: nothing that points to another database."""
    ours = re.compile(r"PARTMAN_|DATABASE_URL|PICCOLO_CONF|PG[A-Z]+$")
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    scripts = str(Path(sys.executable).parent)
    return (
        inherited
        | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "200"}
        | variables
    )


def run(
    *command: str,
    environment: Mapping[str, str],
    stdin: str = "",
    cwd: Path = ROOT,
    timeout: float = 60,
) -> Completed:
    """Run a command to its end; ``timeout`` is in seconds, and only there to end a hang."""
    process = subprocess.run(
        [script(command[0]), *command[1:]],
        env=clean_environment(**environment),
        cwd=cwd,
        input=stdin,
        encoding="utf-8",
        errors="surrogateescape",  # so that a test can give what is no text
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Completed(process.returncode, process.stdout, process.stderr)


def migrate(database: Database) -> None:
    completed = run("piccolo", "migrations", "forwards", "all", environment=database.environment)
    assert completed.code == 0, completed.output
