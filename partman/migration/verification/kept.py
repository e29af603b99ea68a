"""Keep what is built on scratch databases as a value: nothing is built while nothing has changed.

A value is found by everything on which it depends: the migrations, the server with its version,
settings, roles and templates, the form of the database, and the environment. Beside it are the
files that were read when it was built. What is not known to be unchanged is built anew.
"""

import contextlib
import datetime
import hashlib
import os
import pickle
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg

from partman import __version__
from partman.database import pg_dump
from partman.database.connection import connected
from partman.database.database_form import read_forms
from partman.migration.ledger import origin
from partman.migration.ledger.files import import_migrations, migration_files, registered_apps
from partman.migration.ledger.kept_files import Signature, signature
from partman.migration.verification.build_inputs import (
    files_of_this_process,
    watched,
)
from partman.settings import Settings

T = TypeVar("T")

FOLDER = "built"
"""In the folder of the embedded server, which is the project's for what can be made again."""
_MOST, _MOST_BYTES = 64, 256 << 20
"""What is kept at most, in files and in bytes; the oldest are removed."""

# What a scratch database has of its server, and what a migration may ask of it. The counters are
# those of whatever changes the template that CREATE DATABASE copies; they begin anew when the
# server starts, and after a crash, of which the archiver's tell. Updates are not among them:
# autovacuum makes some in the template when it analyzes what all databases share.
_SERVER = """
SELECT version(), pg_postmaster_start_time()::text, session_user::text, current_date::text,
    (SELECT string_agg(s::text, ',' ORDER BY name) FROM (
        SELECT name, setting, reset_val FROM pg_settings WHERE name <> 'application_name') s),
    (SELECT string_agg(to_jsonb(r)::text, ',' ORDER BY rolname) FROM pg_roles r),
    (SELECT string_agg(m::text, ',' ORDER BY m::text) FROM pg_auth_members m),
    (SELECT string_agg(s::text, ',' ORDER BY s::text) FROM pg_db_role_setting s
        WHERE setdatabase = 0),
    (SELECT string_agg(t::text, ',' ORDER BY spcname) FROM pg_tablespace t),
    (SELECT string_agg(e::text, ',' ORDER BY name) FROM (
        SELECT name, default_version FROM pg_available_extensions) e),
    (SELECT concat_ws(' ', sessions, tup_inserted, tup_deleted, stats_reset,
            (SELECT stats_reset FROM pg_stat_archiver))
        FROM pg_stat_database
        WHERE datname = 'template1' AND current_setting('track_counts') = 'on')
"""
_NOT_ASKED_FOR = frozenset(
    ("_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL", "TERM", "PYTEST_CURRENT_TEST")
)
"""Variables of the terminal and of a test run, by which no schema is built."""


@dataclass(frozen=True)
class _Kept:
    value: Any
    inputs: Mapping[str, Signature | None]

    @property
    def is_right(self) -> bool:
        """Whether nothing was read that has changed since, or is read now and was not then."""
        here = files_of_this_process()
        return (
            here is not None
            and here <= self.inputs.keys()
            and all(signature(path) == was for path, was in self.inputs.items())
        )

    def unchanged(self) -> Mapping[str, Signature | None]:
        """Return the inputs that are still the same."""
        return {path: was for path, was in self.inputs.items() if signature(path) == was}


async def kept(
    settings: Settings, what: Sequence[object], build: Callable[[], Awaitable[tuple[T, bool]]]
) -> T:
    """Return the value that ``build`` has returned for the same inputs, or build it.

    ``what`` says which of the values it is. ``build`` also returns whether another build would
    return the same; if not, it is not kept. ``settings`` name the server of the scratch databases;
    with ``builds_anew``, nothing that was kept is used. Raises the errors of ``build`` and of
    connect().
    """
    import_migrations()
    before, program = await _facts(settings)
    if before is None:
        return (await build())[0]
    path = settings.data_directory / FOLDER / _name(before, what)
    found = _read(path)
    if found is not None and found.is_right and not settings.builds_anew:
        return cast("T", found.value)
    origin.who()  # runs git, once
    with watched(program) as inputs:
        value, is_lasting = await build()
    # A server that was changed meanwhile, be it by the build, has built something in between.
    is_same = is_lasting and (await _facts(settings))[0] == before
    if is_same and (files := inputs.signatures()) is not None:
        # Another command has other modules: with those of both, both can use the value.
        others = found.unchanged() if found is not None else {}
        _write(path, _Kept(value, {**others, **files}))
    return value


async def _facts(settings: Settings) -> tuple[tuple[object, ...] | None, Path | None]:
    """Return what is known of the server, None if that is not enough, and its pg_dump."""
    async with connected(settings, "partman: scratch database") as connection:
        program = pg_dump.find(connection.get_server_version().major)
        try:
            row = tuple((await connection.fetch(_SERVER))[0])
            forms = await read_forms(connection)
        except asyncpg.InsufficientPrivilegeError:
            return None, program
    if row[-1] is None:
        return None, program
    form = settings.scratch_form or forms[0]
    return (*row, form, forms[1], str(program), program and signature(str(program))), program


def _name(server: Sequence[object], what: Sequence[object]) -> str:
    files = [(file.key, file.digest) for file in migration_files()]
    environment = sorted(
        (name, _without_database(value) if name.endswith("DATABASE_URL") else value)
        for name, value in os.environ.items()
        if name not in _NOT_ASKED_FOR
    )
    # Piccolo adds the folders of the migrations, again and again.
    ours = {str(app.folder) for app in registered_apps()}
    path = tuple(dict.fromkeys(entry for entry in sys.path if entry not in ours))
    here = (__version__, sys.version, tuple(os.uname()), os.getuid(), path, Path.cwd(), _today())
    text = repr((what, files, server, environment, here))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _today() -> str:
    return datetime.datetime.now().astimezone().date().isoformat()


def _without_database(url: str) -> str:
    """Return a URL without the name of the database: a scratch database has another one."""
    with contextlib.suppress(ValueError):
        return urlsplit(url)._replace(path="").geturl()
    return url


def _read(path: Path) -> _Kept | None:
    """Return what a file has; None if there is none, or not the whole of what was written."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read()
    except OSError:
        return None
    digest, data = content[:32], content[32:]
    # Whoever writes such a file could have any code run.
    is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
    if not is_ours or hashlib.sha256(data).digest() != digest:
        return None
    try:
        value = pickle.loads(data)  # noqa: S301 -- only what this user has written
    except Exception:  # a class that has moved since, for one
        return None
    return value if isinstance(value, _Kept) else None


def _write(path: Path, value: _Kept) -> None:
    """Write a file at once and whole; what cannot be written is not kept."""
    data = pickle.dumps(value)
    new = path.with_name(f"{secrets.token_hex(8)}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path.parent / ".gitignore").write_text("*\n")
        try:
            with open(new, "xb", opener=_private) as file:
                file.write(hashlib.sha256(data).digest() + data)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        _remove_oldest(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remove_oldest(folder: Path) -> None:
    """Remove what is too much, also what killed commands have not written to the end."""
    files = [(file.stat(), file) for file in folder.glob("[!.]*")]
    size = 0
    for number, (found, file) in enumerate(
        sorted(files, key=lambda each: each[0].st_mtime_ns, reverse=True)
    ):
        size += found.st_size
        if number >= _MOST or size > _MOST_BYTES:
            file.unlink(missing_ok=True)
