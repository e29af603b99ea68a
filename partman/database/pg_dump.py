"""Run the pg_dump that fits a server, and return what it prints, divided into objects.

The division and its normal form are in pg_dump_text.py.
"""

import asyncio
import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from partman.connection_url import describe
from partman.database import bookkeeping, embedded
from partman.database.connection import connected, database_url
from partman.database.libpq import LibpqArguments, libpq_arguments
from partman.database.pg_dump_text import DumpedObject, divided
from partman.errors import PgDumpFailedError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_DEBIAN = Path("/usr/lib/postgresql")
_OPTIONS = (
    "--schema-only",
    "--no-password",
    "--encoding=UTF8",
)
_WAIT, _WAIT_FOR_EACH = 100, 0.25
"""Milliseconds for locking the tables. As little as in read_only.py: a session that changes a table
is not waited for. But pg_dump locks all tables by one statement, and its time is limited.
"""

# The relations to leave out: partman's tables, in any schema, and the sequences of their columns.
_LEFT_OUT = """
WITH left_out AS (
    SELECT oid FROM pg_class WHERE relname::text = ANY ($1::text[]) AND relkind IN ('r', 'p')
)
SELECT quote_ident(nspname) || '.' || quote_ident(relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE c.oid IN (
    SELECT oid FROM left_out
    UNION ALL
    SELECT objid FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND deptype IN ('a', 'i') AND refobjid IN (SELECT oid FROM left_out)
) AND relkind IN ('r', 'p', 'S')
ORDER BY 1
"""
# As the catalog has it: the owner of the ledger, who runs the migrations, or of the database.
_OWNER = """
SELECT quote_ident(pg_get_userbyid(coalesce(
    (SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = 'migration' AND c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%'
     ORDER BY n.nspname <> 'public', n.nspname LIMIT 1),
    (SELECT datdba FROM pg_database WHERE datname = current_database()))))
"""


@dataclass(frozen=True)
class Dump:
    """What pg_dump prints of the schema of one database."""

    objects: tuple[DumpedObject, ...]
    """In the order in which pg_dump creates them, without partman's bookkeeping."""
    server: int = 0
    """The major version of the server; dumps of different ones cannot be compared as text."""


@dataclass(frozen=True)
class PrintedDump:
    """The text that pg_dump has printed."""

    text: str
    owner: str
    """The role whose name does not count, quoted."""
    server: int

    @cached_property
    def digest(self) -> str:
        """A digest of all of it but what is another each time.

        Of two databases with the same digest, pg_dump prints the same text, and the same role is
        the owner.
        """
        # The first and the last command of the text, with a random key.
        text = re.sub(r"\A((?:--.*\n|\n)*)\\restrict .*\n", r"\1", self.text)
        text = re.sub(r"\n\\unrestrict .*\n\s*\Z", "", text)
        said = f"{self.server} {self.owner}\n{text}"
        return hashlib.sha256(said.encode(errors="surrogateescape")).hexdigest()

    @cached_property
    def divided(self) -> Dump:
        """The objects that the text is divided into."""
        return Dump(tuple(divided(self.text, self.owner)), self.server)


@dataclass(frozen=True)
class _Source:
    """What must be known of a database before it is dumped."""

    major: int
    owner: str
    """The role whose name does not count, quoted."""
    left_out: tuple[str, ...]
    tables: int


def find(major: int, name: str = "pg_dump") -> Path | None:
    """Return the pg_dump for servers of this major version, or else the next newer one, or None.

    pg_dump reads servers of its own version and older ones. It is looked for in the embedded
    server's package, among Debian's versions, and on PATH; and so are the programs beside it, of
    which ``name`` is one.
    """
    fitting: dict[int, Path] = {}
    for path in _candidates(name):
        version = _major_version(path)
        if version == major:
            return path
        if version is not None and version > major:
            fitting.setdefault(version, path)
    return fitting[min(fitting)] if fitting else None


async def dump(settings: Settings, *, owner: str | None = None) -> Dump | None:
    """Return printed() as objects."""
    found = await printed(settings, owner=owner)
    return found.divided if found else None


async def printed(
    settings: Settings,
    *,
    owner: str | None = None,
    connection: "Connection[Record] | None" = None,
) -> PrintedDump | None:
    """Return what pg_dump prints of a database's schema; None if no pg_dump fits the server.

    ``owner`` is the role whose name does not count, by default the owner of Piccolo's ledger or,
    without one, of the database. ``connection``: one to that database; by default, one is opened.

    Raises PgDumpFailedError, and the errors of connect().
    """
    async with contextlib.AsyncExitStack() as opened:
        if connection is None:
            new = connected(settings, "partman: pg_dump")
            connection = await opened.enter_async_context(new)
        source = await _source(connection, owner)
    program = await asyncio.to_thread(find, source.major)
    if program is None:
        return None
    url = await asyncio.to_thread(database_url, settings)
    arguments = await libpq_arguments(settings, url)
    output = await _run(program, arguments, source, describe(url))
    return PrintedDump(output, source.owner, source.major)


async def _source(connection: "Connection[Record]", owner: str | None) -> _Source:
    quoted = (
        await connection.fetchval(_OWNER)
        if owner is None
        else await connection.fetchval("SELECT quote_ident($1)", owner)
    )
    left_out = await connection.fetch(_LEFT_OUT, list(bookkeeping.ALL_TABLES))
    return _Source(
        connection.get_server_version().major,
        quoted,
        tuple(name for (name,) in left_out),
        await connection.fetchval("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')"),
    )


async def _run(program: Path, arguments: LibpqArguments, source: _Source, where: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        *_OPTIONS,
        f"--lock-wait-timeout={_WAIT + int(source.tables * _WAIT_FOR_EACH)}",
        # A pattern, in which a quoted name means itself.
        *(f"--exclude-table={name}" for name in source.left_out),
        f"--dbname={arguments.url}",
        env=arguments.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise PgDumpFailedError(
            f"{where}: {program} failed: {_reason(errors)}. The database is unchanged."
        )
    return output.decode(errors="surrogateescape")


def _reason(errors: bytes) -> str:
    """Return the first line of an error's output, without the program's name."""
    lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
    return lines[0].removeprefix("pg_dump: ").removeprefix("error: ").rstrip(".")


def _candidates(name: str) -> Iterator[Path]:
    if (binaries := embedded.find_binaries()) and (binaries / name).exists():
        yield binaries / name
    yield from sorted(_DEBIAN.glob(f"*/bin/{name}"), reverse=True)
    if (on_path := shutil.which(name)) is not None:
        yield Path(on_path)


@functools.cache
def _major_version(program: Path) -> int | None:
    """Return the major version that a pg_dump says it has; None if it cannot be run."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    # pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1), or 19beta1
    _, _, version = said.partition("(PostgreSQL) ")
    digits = version.split(".")[0].rstrip()
    while digits and not digits.isdigit():
        digits = digits[:-1]
    return int(digits) if digits else None
