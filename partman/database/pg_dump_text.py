"""Divide the output of pg_dump into objects, and bring each into a normal form.

The division follows pg_dump's own comments, one before each object::

    --
    -- Name: partners; Type: TABLE; Schema: public; Owner: partman
    --

Left out is what says nothing about the schema: the lines of the session, the name of the role that
runs the migrations, and what belongs to PostgreSQL itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from partman.database import bookkeeping

_OWNER = "<owner>"
_END = "-- PostgreSQL database dump complete"
_NAME, _TYPE, _SCHEMA, _OF, _SPACE = (
    "-- Name: ", "; Type: ", "; Schema: ", "; Owner: ", "; Tablespace: "
)  # fmt: skip
_ACCESS_METHOD = "SET default_table_access_method = "
_SESSION = (_ACCESS_METHOD, "SET default_tablespace = ")
_RIGHTS = ("ACL", "DEFAULT ACL")
_TABLES = ("TABLE", "FOREIGN TABLE")
_SYSTEM = ("pg_catalog", "information_schema")


class DumpedName(NamedTuple):
    """Identifies an object in a dump."""

    kind: str
    """In pg_dump's words: ``TABLE``, ``FK CONSTRAINT``, ``ACL``."""
    schema: str
    """Empty for an object that is in no schema."""
    name: str
    """The name, with that of its table: ``partners partners_pkey``."""

    def __str__(self) -> str:
        name = f"{self.schema}.{self.name}" if self.schema else self.name
        return f"{self.kind} {name}"


@dataclass(frozen=True)
class DumpedObject:
    """An object, and the SQL that makes it."""

    identity: DumpedName
    sql: str = field(compare=False)
    """As pg_dump prints it, without the owner."""

    @cached_property
    def normal_form(self) -> tuple[str, ...]:
        """The lines of the SQL, without what depends on how the object has become so.

        No migration can change the order of a table's columns; rights are listed in the order
        in which they were given.
        """
        lines = self.sql.splitlines()
        if self.identity.kind in _TABLES:
            told = (_sorted_options(line.removesuffix(",")) for line in lines)
            return tuple(sorted(line for line in told if line))
        if self.identity.kind in _RIGHTS:
            return tuple(sorted(lines))
        return tuple(lines)


class _Header(NamedTuple):
    name: DumpedName
    tablespace: str


def divided(output: str, owner: str) -> Iterator[DumpedObject]:
    """Yield the objects of a dump. ``owner`` is the role whose name does not count, quoted."""
    lines = output.splitlines()
    starts = [
        number for number, line in enumerate(lines) if line == "--" and _is_header(lines, number)
    ]
    # A row's access method is that which was set last before it.
    method = ""
    ends = [*starts[1:], _end(lines)]
    for before, start, end in zip([0, *starts], starts, ends, strict=False):
        for line in lines[before:start]:
            if line.startswith(_ACCESS_METHOD):
                method = line.removeprefix(_ACCESS_METHOD).removesuffix(";")
        header = _header(lines[start + 1])
        if header is None or _is_left_out(header.name):
            continue
        text = _without_session(lines[start + 3 : end])
        text = list(_without_owner(text, header.name, owner))
        text = [line for line in text if not _is_of_server(line)]
        if not any(text):
            continue
        if header.tablespace:
            text.append(f"-- Tablespace: {header.tablespace}")
        if header.name.kind == "TABLE" and method not in ("", "heap"):
            text.append(f"-- Access method: {method}")
        yield DumpedObject(header.name, "\n".join(text).strip("\n"))


def _is_header(lines: Sequence[str], number: int) -> bool:
    around = lines[number : number + 3]
    return len(around) == 3 and around[0] == around[2] == "--" and around[1].startswith(_NAME)


def _end(lines: Sequence[str]) -> int:
    for number in range(len(lines) - 1, -1, -1):
        if lines[number] == _END:
            return number - 1
    return len(lines)


def _header(line: str) -> _Header | None:
    """Return what a comment names; a name may contain anything, so it is read from the right."""
    rest, _, of = line.removeprefix(_NAME).rpartition(_OF)
    _, _, tablespace = of.partition(_SPACE)
    rest, _, schema = rest.rpartition(_SCHEMA)
    name, _, kind = rest.rpartition(_TYPE)
    return _Header(DumpedName(kind, "" if schema == "-" else schema, name), tablespace)


def _is_left_out(name: DumpedName) -> bool:
    """Whether it belongs to PostgreSQL, or is partman's function; its tables are not dumped."""
    if name.schema in _SYSTEM:
        return True
    of_function = name.name.removeprefix("FUNCTION ").partition("(")[0]
    return name.kind in {"FUNCTION", "ACL", "COMMENT"} and of_function in bookkeeping.FUNCTIONS


def _without_session(lines: Sequence[str]) -> Sequence[str]:
    """Leave out the settings for the next object, which follow after an object's SQL."""
    while lines and (not lines[-1] or lines[-1].startswith(_SESSION)):
        lines = lines[:-1]
    return lines


def _without_owner(lines: Sequence[str], name: DumpedName, owner: str) -> Iterator[str]:
    of_owner = f" OWNER TO {owner};"
    for line in lines:
        if line.endswith(of_owner) and line.startswith("ALTER "):
            continue
        # "*not* creating schema, since initdb creates it"
        if line.startswith("-- *not* "):
            continue
        if name.kind in _RIGHTS or (name.kind == "POLICY" and line.startswith("CREATE POLICY ")):
            for word in ("FROM", "TO", "ROLE", "AUTHORIZATION"):
                for end in (";", " ", ","):
                    line = line.replace(f" {word} {owner}{end}", f" {word} {_OWNER}{end}")
        yield line


def _is_of_server(line: str) -> bool:
    """Whether a line sets an option that PostgreSQL keeps for itself.

    PostgreSQL 15.20 has one for each column, which its own pg_dump leaves out, and newer ones do
    not.
    """
    return line.startswith("ALTER TABLE ONLY ") and " ALTER COLUMN " in line and " SET (pg_" in line


def _sorted_options(line: str) -> str:
    """Sort the storage parameters of a table, which are listed in the order they were set."""
    if not (line.startswith("WITH (") and line.rstrip(";").endswith(")")):
        return line
    options = line.removeprefix("WITH (").rstrip(";").removesuffix(")").split(", ")
    return f"WITH ({', '.join(sorted(options))})"
