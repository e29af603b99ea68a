"""The file of one tenant's rows: how it is written, and what makes it whole.

It is gzip of UTF-8 lines, each one JSON value:

1. the header: ``format``, ``version``, when and of which tenant and schema it was made, and for
   each table its name, columns and number of rows, in the order in which rows can be inserted;
2. the rows, table by table: arrays of PostgreSQL's text forms, or null, in the columns' order;
3. the end: ``{"end": {"rows": N, "sha256": H}}``, the hash of all bytes of the lines before it.

A file without its end, or with another hash, is not whole and is refused.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from partman.errors import TenantFileError
from partman.whole_file import new_file

FORMAT, VERSION = "partman tenant", 1


@dataclass(frozen=True)
class TableHeader:
    """A table in the file."""

    name: str
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Header:
    """What a file is, in its first line."""

    tenant_table: str
    tenant_id: str
    tenant_name: str
    exported_at: str
    without_secrets: tuple[str, ...]
    """The secret columns that were left out, as ``table.column``."""
    schema: tuple[tuple[str, str], ...]
    """The applied migrations: app and ID."""
    tables: tuple[TableHeader, ...]
    """The table of the tenants is the first."""

    @property
    def total(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)


class TenantFileWriter:
    """Writes the lines, and counts and hashes them."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._rows = 0

    def header(self, header: Header) -> None:
        """Write the first line."""
        self._line({"format": FORMAT, "version": VERSION} | asdict(header))

    def row(self, values: list[str | None]) -> None:
        """Write a row."""
        self._line(values)
        self._rows += 1

    def end(self) -> None:
        """Write the last line, which makes the file whole."""
        self._line({"end": {"rows": self._rows, "sha256": self._hash.hexdigest()}})

    def _line(self, value: Any) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._stream.write(line)


@contextmanager
def written(path: Path) -> Iterator[TenantFileWriter]:
    """Write a file that appears under its name only when it is whole, and on the disk.

    Only its owner may read it. Raises TenantFileError if it exists or cannot be written.
    """
    if path.exists():
        raise TenantFileError(f"{path} exists already. Nothing was written. Choose another name.")
    try:
        with (
            new_file(path, mode=0o600) as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,
        ):
            writer = TenantFileWriter(stream)
            yield writer
            writer.end()
    except OSError as error:
        raise TenantFileError(
            f"{path} cannot be written: {error.strerror or error}. There is no such file. Correct "
            "that, and export again."
        ) from error


class TenantFileReader:
    """Reads the lines, and checks that nothing is missing."""

    def __init__(self, path: Path, stream: gzip.GzipFile) -> None:
        self._path = path
        self._stream = stream
        self._hash = hashlib.sha256()
        self._rows = 0

    def header(self) -> Header:
        """Read the first line."""
        first = self._next()
        if not isinstance(first, dict) or first.get("format") != FORMAT:
            raise TenantFileError(f"{self._path} is no export of a tenant. Nothing was imported.")
        if first.get("version") != VERSION:
            raise TenantFileError(
                f"{self._path} has version {first.get('version')} of the format, and this partman "
                f"reads {VERSION}. Nothing was imported. Use the partman that exported it."
            )
        try:
            fields = {name: first[name] for name in Header.__annotations__}
            tables = [
                TableHeader(t["name"], tuple(t["columns"]), int(t["rows"])) for t in first["tables"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_whole() from error
        return Header(
            **fields
            | {
                "without_secrets": tuple(first["without_secrets"]),
                "schema": tuple((app, migration) for app, migration in first["schema"]),
                "tables": tuple(tables),
            }
        )

    def rows(self, table: TableHeader) -> Iterator[list[str | None]]:
        """Yield the rows of the next table."""
        for _ in range(table.rows):
            row = self._next()
            if not isinstance(row, list) or len(row) != len(table.columns):
                raise self._not_whole()
            self._rows += 1
            yield row

    def check(self) -> None:
        """Read everything, and forget it. Raises TenantFileError for a file that is not whole."""
        for table in self.header().tables:
            for _ in self.rows(table):
                pass
        self.end()

    def end(self) -> None:
        """Check the last line. Raises TenantFileError."""
        expected = {"end": {"rows": self._rows, "sha256": self._hash.hexdigest()}}
        if self._next() != expected or self._read():
            raise self._not_whole()

    def _next(self) -> Any:
        line = self._read()
        if not line.endswith(b"\n"):
            raise self._not_whole()
        self._hash.update(line)
        try:
            return json.loads(line)
        except ValueError as error:
            raise self._not_whole() from error

    def _read(self) -> bytes:
        try:
            return self._stream.readline()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._not_whole() from error

    def _not_whole(self) -> TenantFileError:
        return TenantFileError(
            f"{self._path} is not whole: lines are missing or were changed. Nothing was imported. "
            "Export again."
        )


@contextmanager
def opened(path: Path) -> Iterator[TenantFileReader]:
    """Open a file. Raises TenantFileError if it cannot be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise TenantFileError(
            f"{path} cannot be read: {error.strerror or error}. Nothing was imported."
        ) from error
    with file, gzip.GzipFile(fileobj=file, mode="rb") as stream:
        yield TenantFileReader(path, stream)
