"""psql and pg_dump, as a person would use them."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from partman.database import pg_dump
from partman.database.pg_dump import Dump
from partman.migration.verification.dump_comparison import compare_dumps
from partman.settings import Settings
from tests.psql import client_program
from tests.support import Database, administrator, as_role


def psql(database: Database, sql: str) -> Sequence[str]:
    """Run SQL with psql, which goes on after an error; return the errors."""
    done = subprocess.run(
        [client_program("psql"), "--no-psqlrc", "--quiet", "--dbname", database.url],
        input=sql,
        text=True,
        errors="surrogateescape",
        capture_output=True,
        check=False,
    )
    words = ("ERROR:", "FATAL:", "error:")
    return [line for line in done.stderr.splitlines() if any(word in line for word in words)]


def restore(source: Database, target: Database) -> None:
    """Bring the schema of a database into an empty one with ``pg_dump | psql``."""
    dump = subprocess.run(
        [client_program("pg_dump"), "--schema-only", "--dbname", source.url],
        text=True,
        errors="surrogateescape",
        capture_output=True,
        check=True,
    )
    # A superuser may give objects to any role.
    errors = psql(Database(as_role(target.url, "postgres")), dump.stdout)
    if any("FATAL:" in error for error in errors):
        psql(target, dump.stdout)


def dump(database: Database) -> Dump:
    """Return what pg_dump prints of the schema, in a normal form."""
    found = asyncio.run(pg_dump.dump(Settings.load({"DATABASE_URL": database.url})))
    assert found is not None
    return found


def unlike(server: Database, expected: Dump, found: Dump) -> Sequence[str]:
    """Return what one dump has and the other has not, also once both were restored.

    ``server`` is a database on the server for the copies.
    """
    sides = [
        Counter((each.identity, each.normal_form) for each in dumped.objects)
        for dumped in (expected, found)
    ]
    if sides[0] == sides[1]:
        return []
    settings = Settings.load({"DATABASE_URL": server.url})
    return [
        f"{each.identity}: {each.expected} / {each.found}"
        for each in asyncio.run(compare_dumps(settings, expected, found))
    ]


@contextmanager
def roles(names: Sequence[str], *databases: Database) -> Iterator[None]:
    """Create roles; drop them at the end, with the databases in which they may own something."""
    for name in names:
        # A run that was killed may have left it.
        administrator().ask(f"DROP ROLE IF EXISTS {name}")
        administrator().ask(f"CREATE ROLE {name}")
    try:
        yield
    finally:
        for database in databases if names else ():
            administrator().ask(f"DROP DATABASE {database.name} WITH (FORCE)")
        for name in names:
            administrator().ask(f"DROP ROLE {name}")
