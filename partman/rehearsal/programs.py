"""Run PostgreSQL's client programs: dump a schema, and restore dumps of every format."""

import asyncio
import tarfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from partman.database import pg_dump
from partman.database.connection import connected, database_url
from partman.database.libpq import libpq_arguments
from partman.errors import RehearsalError
from partman.rehearsal.owners import give_to_owners
from partman.settings import Settings

_LONGEST_REASON = 300
_NOT_SERIOUS = ("GRANT ", "REVOKE ", "COMMENT ", "ALTER DEFAULT PRIVILEGES ")
"""How commands begin whose failure does not change what migrations do to rows."""
_HAS_IT_ALREADY = "grant options cannot be granted back to your own grantor"
"""Of a right that the role has in every database of the server, as on the embedded one."""


class DumpFormat(StrEnum):
    """The formats of pg_dump."""

    PLAIN = "plain"
    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"


async def dump_schema(settings: Settings, snapshot: str) -> bytes:
    """Return the schema of a database as an archive, at a snapshot that another session keeps.

    Raises RehearsalError.
    """
    code, archive, errors = await _run(
        settings,
        "pg_dump",
        [
            "--schema-only",
            "--format=custom",
            "--no-password",
            # A session that changes a table is not waited for.
            "--lock-wait-timeout=1000",
            f"--snapshot={snapshot}",
        ],
    )
    if code:
        raise _failed("pg_dump", _reason(errors))
    return archive


async def restore_section(settings: Settings, archive: bytes, section: str) -> list[str]:
    """Restore a part of an archive: ``pre-data`` or ``post-data``.

    Returns what the copy lacks, as sentences. Raises RehearsalError.
    """
    return await _restore(
        settings, "pg_restore", ["--no-password", f"--section={section}"], archive
    )


async def restore_file(settings: Settings, file: Path, jobs: int) -> list[str]:
    """Restore a dump of any format into an empty database.

    Returns what the copy lacks, as sentences. Raises RehearsalError.
    """
    kind = await asyncio.to_thread(format_of, file)
    if kind is DumpFormat.PLAIN:
        await asyncio.to_thread(_refuse_commands, file)
        options = ["--no-psqlrc", "--quiet", "--echo-errors", "--no-password"]
        return await _restore(settings, "psql", [*options, f"--file={file}"])
    options = ["--no-password"] if kind is DumpFormat.TAR else ["--no-password", f"--jobs={jobs}"]
    return await _restore(settings, "pg_restore", [*options, str(file)])


def format_of(file: Path) -> DumpFormat:
    """Return the format of a dump, by what is in it. Raises RehearsalError."""
    try:
        if file.is_dir():
            if any((file / f"toc.dat{end}").exists() for end in ("", ".gz", ".lz4", ".zst")):
                return DumpFormat.DIRECTORY
            raise RehearsalError(
                f"{file} is a folder without a toc.dat, and so no dump. Nothing was done. Name the "
                "file or folder that pg_dump --file has written."
            )
        with file.open("rb") as opened:
            start = opened.read(512)
    except OSError as error:
        raise RehearsalError(
            f"{file} cannot be read: {error.strerror}. Nothing was done. Name a dump of pg_dump."
        ) from error
    if start.startswith(b"PGDMP"):
        return DumpFormat.CUSTOM
    if tarfile.is_tarfile(file):
        return DumpFormat.TAR
    if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")):
        raise RehearsalError(
            f"{file} is compressed as a whole. Nothing was done. Decompress it first, as with "
            "gunzip --keep; or make the dump with pg_dump --format=custom, which compresses itself."
        )
    return DumpFormat.PLAIN


def _refuse_commands(file: Path) -> None:
    r"""Refuse a plain dump with commands of psql's: they may lead to another database, or run code.

    In the rows, a backslash begins an escape of COPY, never a word; the end of them is ``\.``.
    """
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if _is_command(line):
                said = line.decode(errors="replace").strip()[:60]
                raise RehearsalError(
                    f"{file}, line {number}, has a command of psql's ({said}), which may lead to "
                    "another database. Nothing was done. Make the dump with pg_dump without "
                    "--create, not with pg_dumpall."
                )


def _is_command(line: bytes) -> bool:
    """Whether a line is a command that pg_dump writes only to reach another database.

    COPY begins an escape with one of these letters, as no such command does.
    """
    return (
        line.startswith(b"\\")
        and line[1:2] not in b"\\.Nbfnrtv"
        and not line.startswith(b"\\unrestrict ")
    )


async def _restore(
    settings: Settings, name: str, options: Sequence[str], archive: bytes | None = None
) -> list[str]:
    """Restore; a right or a comment that cannot be restored is told, and anything else refused."""
    code, _, errors = await _run(settings, name, options, archive)
    failures = list(_failures(errors))
    given = await give_to_owners(settings, [command for _, command in failures])
    failures = [each for each in failures if each[1] not in given]
    serious = [reason for reason, command in failures if not command.startswith(_NOT_SERIOUS)]
    if serious or (code and not failures and not given):
        raise _failed(name, serious[0] if serious else _reason(errors))
    return [
        f"The copy lacks a right or a comment: {reason}."
        for reason, _ in failures
        if reason != _HAS_IT_ALREADY
    ]


def _failures(errors: str) -> Iterator[tuple[str, str]]:
    """Yield each error of a program's output, and the command that has failed, if it is there."""
    reason = None
    for line in errors.splitlines():
        if error := _after(line, "error: ", "ERROR:  "):
            if reason is not None:
                yield reason, ""
            reason = error.removeprefix("could not execute query: ERROR: ")
        elif reason is not None and (command := _after(line, "Command was: ", "STATEMENT:  ")):
            yield reason, command
            reason = None
        elif reason is not None and (detail := _after(line, "DETAIL: ")):
            reason += f". {detail}"
    if reason is not None:
        yield reason, ""


def _after(line: str, *marks: str) -> str:
    """Return what follows the first of the marks that a line has, with single spaces."""
    found = next((mark for mark in marks if mark in line), None)
    return " ".join(line.partition(found)[2].split()) if found else ""


async def _run(
    settings: Settings, name: str, options: Sequence[str], archive: bytes | None = None
) -> tuple[int, bytes, str]:
    """Run a program; return its exit code, its output and its errors."""
    async with connected(settings, "partman rehearse") as connection:
        major = connection.get_server_version().major
    program = await asyncio.to_thread(pg_dump.find, major, name)
    if program is None:
        raise RehearsalError(
            f"{name} is not installed, at least not for PostgreSQL {major}. Nothing was changed. "
            f"Install PostgreSQL's client programs (on Debian: postgresql-client-{major}); or "
            "rehearse on a database that is there: partman rehearse --on URL"
        )
    url = await asyncio.to_thread(database_url, settings)
    arguments = await libpq_arguments(settings, url)
    process = await asyncio.create_subprocess_exec(
        program,
        *options,
        f"--dbname={arguments.url}",
        env=arguments.environment,
        stdin=asyncio.subprocess.DEVNULL if archive is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(archive)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output, errors.decode(errors="replace")


def _failed(name: str, reason: str) -> RehearsalError:
    return RehearsalError(
        f"{name} failed: {reason[:_LONGEST_REASON].rstrip('.')}. The database that is copied is "
        "unchanged; the copy was dropped."
    )


def _reason(errors: str) -> str:
    return " ".join(errors.split()) or "no reason given"
