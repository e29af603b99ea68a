"""What is wrong around a project: its environment, its login, its server; for ``partman doctor``.

Only reads. What cannot be asked because something before it is wrong is left out.
"""

import platform
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from partman import __version__
from partman.connection_url import describe
from partman.database import pg_dump
from partman.database.connection import connected
from partman.database.engine import DatabaseEngine, project_engine
from partman.database.poolers import assigns_processes_per_transaction
from partman.errors import PartmanError
from partman.migration.ledger.status import read_status
from partman.plan import squawk
from partman.plan.model import size_in_words
from partman.settings import Settings
from partman.wording import counted, in_seconds

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from partman.isolation import Tenancy

CLOCK = 5.0
"""Seconds by which the clocks of client and server may differ."""
LITTLE_DISK, NO_DISK = 1 << 30, 100 << 20
"""Bytes that are free on a disk that is soon, or as good as, full."""

_LOGIN = """
SELECT session_user::text AS login, current_database()::text AS database,
    rolsuper, rolcreatedb, rolbypassrls, pg_is_in_recovery() AS is_standby,
    has_schema_privilege('public', 'CREATE') AS may_create,
    pg_database_size(current_database()) AS size, clock_timestamp() AS now
FROM pg_roles WHERE rolname = session_user
"""
_MISSING_ROLES = """
SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(string_to_array($1, ',')) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
"""


class State(StrEnum):
    """How something is."""

    OK = "ok"
    NOTE = "note"
    """It works, and may surprise."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    told: str
    """What was found, in a sentence."""
    remedy: str = ""
    """What to type, or to do."""


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at everything around a project. Raises ProjectError without one."""
    tenancy = project_engine(DatabaseEngine).tenancy
    found = [_environment(settings), _versions(), _disk(settings)]
    try:
        async with connected(settings, "partman doctor") as connection:
            found += [each async for each in _of_database(settings, connection, tenancy)]
    except PartmanError as error:
        found.append(Finding("login", State.WRONG, str(error)))
        return tuple(found)
    found += [each async for each in _of_application(settings, tenancy)]
    return tuple(found)


def _environment(settings: Settings) -> Finding:
    where = (
        "the embedded server"
        if settings.database_url is None
        else f"{describe(settings.database_url)}, named by {settings.url_source}"
    )
    return Finding("environment", State.OK, f"{settings.environment}, on {where}.")


def _versions() -> Finding:
    packages = ", ".join(f"{name} {version(name)}" for name in ("piccolo", "asyncpg"))
    told = f"partman {__version__}, {packages}, Python {platform.python_version()}."
    return Finding("versions", State.OK, told)


def _disk(settings: Settings) -> Finding:
    """Look at the disk with the embedded server's files, where scratch databases may be."""
    folder = settings.data_directory
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    state = State.WRONG if free < NO_DISK else State.NOTE if free < LITTLE_DISK else State.OK
    told = f"{size_in_words(free)} free in {folder}."
    remedy = "" if state is State.OK else "Free some space, or set PARTMAN_DATA_DIR."
    return Finding("disk", state, told, remedy)


async def _of_database(
    settings: Settings, connection: "Connection[Record]", tenancy: "Tenancy | None"
) -> AsyncIterator[Finding]:
    before = datetime.now(UTC)
    row = await connection.fetchrow(_LOGIN)
    assert row is not None
    after = datetime.now(UTC)
    server = connection.get_server_version()
    size = size_in_words(row["size"])
    told = f"{row['login']} at {row['database']} ({size}), PostgreSQL {server.major}."
    yield Finding("login", State.OK, told)
    yield _clock(row["now"], before, after)
    yield _standby(is_standby=row["is_standby"])
    yield await _pooler(settings, connection)
    for finding in _rights(row):
        yield finding
    pending = await _pending(connection)
    yield pending
    if tenancy is not None:
        yield await _roles(connection, tenancy, is_migrated=pending.state is State.OK)
    for finding in _programs(server.major):
        yield finding


def _clock(server: datetime, before: datetime, after: datetime) -> Finding:
    """Compare the clocks; the server's was read between the two times."""
    off = max((before - server).total_seconds(), (server - after).total_seconds(), 0.0)
    if off <= CLOCK:
        return Finding("clock", State.OK, "As the server's.")
    side = "behind" if server > after else "ahead of"
    return Finding(
        "clock",
        State.WRONG,
        f"This machine is {in_seconds(off)} {side} the server.",
        "Set the clocks: IDs of migrations and times of sessions depend on them.",
    )


def _standby(*, is_standby: bool) -> Finding:
    if not is_standby:
        return Finding("server", State.OK, "It can be written to.")
    told = "A standby, which can only be read: migrations cannot run."
    return Finding("server", State.WRONG, told, "Set DATABASE_URL to the primary.")


async def _pooler(settings: Settings, connection: "Connection[Record]") -> Finding:
    if not await assigns_processes_per_transaction(connection, settings):
        return Finding("pooler", State.OK, "A session keeps its server process.")
    return Finding(
        "pooler",
        State.WRONG,
        "The connection goes through a pool in transaction mode, where migrations cannot run.",
        "Set DATABASE_URL to the server, and PARTMAN_POOLING=transaction for the application.",
    )


def _rights(row: "Record") -> Iterator[Finding]:
    login = row["login"]
    if not row["may_create"]:
        yield Finding(
            "rights",
            State.WRONG,
            f"{login} may not create tables in the schema public: migrations cannot run.",
            f"As its owner: GRANT CREATE ON SCHEMA public TO {login};",
        )
    if not row["rolcreatedb"] and not row["rolsuper"]:
        yield Finding(
            "rights",
            State.NOTE,
            f"{login} may not create databases, which plan, check, drift and verify need.",
            "Run these with --scratch embedded.",
        )
    elif row["may_create"]:
        yield Finding("rights", State.OK, f"{login} may create tables and scratch databases.")


async def _pending(connection: "Connection[Record]") -> Finding:
    pending = len((await read_status(connection)).pending)
    if not pending:
        return Finding("migrations", State.OK, "All are applied.")
    told = f"{counted(pending, 'migration')} pending."
    return Finding("migrations", State.NOTE, told, "partman migrate")


async def _roles(
    connection: "Connection[Record]", tenancy: "Tenancy", *, is_migrated: bool
) -> Finding:
    missing = await connection.fetchval(_MISSING_ROLES, ",".join(tenancy.roles.all))
    if missing is None:
        return Finding("roles", State.OK, f"{', '.join(tenancy.roles.all)}.")
    if not is_migrated:
        return Finding("roles", State.NOTE, f"Missing, until they are migrated: {missing}.")
    return Finding(
        "roles",
        State.WRONG,
        f"Missing on the server, although all migrations are applied: {missing}.",
        "Create them as the migrations do. Show what they do with: partman sql",
    )


def _programs(major: int) -> Iterator[Finding]:
    if pg_dump.find(major) is None:
        yield Finding(
            "pg_dump",
            State.NOTE,
            f"None for PostgreSQL {major} is installed: what only it sees is not compared.",
            f"Install PostgreSQL's client {major} or newer.",
        )
    if squawk.program() is None:
        yield Finding("squawk", State.NOTE, squawk.NOT_INSTALLED)


async def _of_application(settings: Settings, tenancy: "Tenancy | None") -> AsyncIterator[Finding]:
    """Look at the application's login, which must not see the rows of all tenants."""
    if tenancy is None or settings.database_url is None:
        return
    if settings.app_database_url is None:
        yield Finding(
            "application",
            State.NOTE,
            "PARTMAN_APP_DATABASE_URL is not set: here the application would use the login above.",
            f"Set it, with the login {tenancy.roles.api}, unless this process only migrates.",
        )
        return
    try:
        async with connected(settings.of_the_application, "partman doctor") as connection:
            row = await connection.fetchrow(_LOGIN)
    except PartmanError as error:
        yield Finding("application", State.WRONG, str(error))
        return
    assert row is not None
    if row["rolsuper"] or row["rolbypassrls"]:
        yield Finding(
            "application",
            State.WRONG,
            f"Its login {row['login']} sees the rows of all tenants.",
            f"Set PARTMAN_APP_DATABASE_URL to the login {tenancy.roles.api}.",
        )
    else:
        yield Finding("application", State.OK, f"It logs in as {row['login']}.")
