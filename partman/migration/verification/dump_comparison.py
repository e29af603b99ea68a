"""Compare what pg_dump prints of two databases: it sees what the catalog's reader does not know.

The same is equal however it was written, as in same_expressions.py: where two texts differ, both
are restored into scratch databases, and dumped again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.compare import Difference, Verdict
from partman.catalog.model import Catalog, Column, Constraint, DefaultGrant, Object, Reference
from partman.catalog.python_defaults import PythonDefault
from partman.database import pg_dump
from partman.database.connection import connected
from partman.database.pg_dump import Dump, PrintedDump
from partman.database.pg_dump_text import DumpedName, DumpedObject
from partman.database.scratch import scratch_database
from partman.errors import PgDumpFailedError
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NO_PROGRAM = (
    "what only pg_dump sees, as no pg_dump was found that is as new as the server. Install the "
    "server's client programs"
)
_FAILED = "what only pg_dump sees. {}"

_NOT_RESTORED = ("ACL", "DEFAULT ACL", "SUBSCRIPTION")
"""They have no expressions; the roles may not exist on the server."""
_SESSION = "SET search_path = ''; SET check_function_bodies = off; SET statement_timeout = 0"

_Forms = Mapping[DumpedName, list[tuple[str, ...]]]


@dataclass(frozen=True)
class NotAsked:
    """Why pg_dump was not asked."""

    reason: str


@dataclass(frozen=True)
class DumpDifference:
    """An object that pg_dump prints differently, or of one database only."""

    identity: DumpedName
    expected: str | None
    found: str | None


async def ask(settings: Settings, *, owner: str | None = None) -> Dump | NotAsked:
    """Return ask_for_text() as objects."""
    found = await ask_for_text(settings, owner=owner)
    return found if isinstance(found, NotAsked) else found.divided


async def ask_for_text(
    settings: Settings,
    *,
    owner: str | None = None,
    connection: "Connection[Record] | None" = None,
) -> PrintedDump | NotAsked:
    """Return what pg_dump prints of a database, or why it prints nothing.

    The parameters are those of pg_dump.printed(). Raises the errors of connect().
    """
    try:
        found = await pg_dump.printed(settings, owner=owner, connection=connection)
    except PgDumpFailedError as error:
        return NotAsked(_FAILED.format(error))
    return found or NotAsked(_NO_PROGRAM)


async def compare_dumps(
    scratch: Settings, expected: Dump, found: Dump, known: Collection[str] = ()
) -> tuple[DumpDifference, ...]:
    """Return the objects in which two dumps differ, also after both were restored.

    ``known``: names of objects that differ anyway, from names_of(); they are left out. Restores
    nothing if the dumps differ in nothing else. Those of different servers are only compared when
    they were restored on the same one. Raises the errors of scratch_database().
    """
    is_same_server = expected.server == found.server
    if is_same_server and _sql(expected) == _sql(found):
        return ()
    forms = [_forms(dump.objects if is_same_server else ()) for dump in (expected, found)]
    if is_same_server and not _differing(forms[0], forms[1], known):
        return ()
    for side, dump in zip(forms, (expected, found), strict=True):
        for obj in await _restored(scratch, dump):
            side.setdefault(obj.identity, []).append(obj.normal_form)
    texts = [{obj.identity: obj.sql for obj in dump.objects} for dump in (expected, found)]
    return tuple(
        DumpDifference(name, texts[0].get(name), texts[1].get(name))
        for name in _differing(forms[0], forms[1], known)
        if is_same_server or name.kind not in _NOT_RESTORED
    )


def _sql(dump: Dump) -> list[tuple[DumpedName, str]]:
    return [(obj.identity, obj.sql) for obj in dump.objects]


def with_expected_defaults(dump: Dump, expected: Catalog, found: Catalog) -> Dump:
    """Return a dump of ``found`` that has the defaults which Python computes as ``expected`` does.

    They are no difference: see catalog/python_defaults.py.
    """
    lines = [
        (_plain(column.parent.name), column.name, str(column.default), str(other.default))
        for column in expected.of(Column)
        if isinstance(column.default, PythonDefault)
        and isinstance(other := found.by_reference.get(column.reference), Column)
    ]
    if not lines:
        return dump
    objects = []
    for obj in dump.objects:
        names = {f"{obj.identity.schema}.{obj.identity.name}"}
        for table, column, default, own in lines:
            if names & table:
                obj = replace(obj, sql=_with_default(obj.sql, column, own, default))
        objects.append(obj)
    return replace(dump, objects=tuple(objects))


def _with_default(sql: str, column: str, own: str, default: str) -> str:
    """Return CREATE TABLE as pg_dump prints it, a column a line, with another default."""
    return "\n".join(
        line.replace(f" DEFAULT {own}", f" DEFAULT {default}", 1)
        if line.startswith(f"    {column} ")
        else line
        for line in sql.split("\n")
    )


def names_of(differences: Iterable[Difference], *catalogs: Catalog) -> set[str]:
    """Return the names of the objects that differ and of their tables, as a dump has them."""
    return set(_names_of(differences, catalogs))


def not_in(dump: Dump, references: Collection[Reference]) -> tuple[Reference, ...]:
    """Return the objects that are not in a dump."""
    if not references:
        return ()
    names = {name for obj in dump.objects for name in _names(obj.identity)}
    return tuple(reference for reference in references if names.isdisjoint(_plain(reference.name)))


def _forms(objects: Iterable[DumpedObject]) -> dict[DumpedName, list[tuple[str, ...]]]:
    return {obj.identity: [obj.normal_form] for obj in objects}


def _differing(expected: _Forms, found: _Forms, known: Collection[str]) -> list[DumpedName]:
    return [
        name
        for name in dict.fromkeys((*expected, *found))
        if set(expected.get(name, ())).isdisjoint(found.get(name, ()))
        and _names(name).isdisjoint(known)
    ]


async def _restored(scratch: Settings, dump: Dump) -> tuple[DumpedObject, ...]:
    """Return what pg_dump prints of a database that was restored from a dump.

    What cannot be restored is left out.
    """
    async with scratch_database(scratch) as settings:
        async with connected(settings, "partman: restore") as connection:
            await connection.execute(_SESSION)
            for obj in dump.objects:
                if obj.identity.kind in _NOT_RESTORED:
                    continue
                try:
                    await connection.execute(obj.sql)
                except asyncpg.PostgresError:
                    continue
        again = await ask(settings)
    return () if isinstance(again, NotAsked) else again.objects


def _names_of(differences: Iterable[Difference], catalogs: Collection[Catalog]) -> Iterator[str]:
    for difference in differences:
        if isinstance(difference.object, DefaultGrant):
            yield "DEFAULT PRIVILEGES"
        if difference.verdict is not Verdict.DIFFERENT:
            for catalog in catalogs:
                yield from _names_of_parts(difference.reference, catalog)
        parent: Reference | None = difference.reference
        while parent is not None and (parent == difference.reference or parent.kind != "schema"):
            obj = _find(parent, catalogs)
            yield from _names_in_dump(obj) if obj else _plain(parent.name)
            parent = obj.parent if obj else None
            if obj is not None and parent is not None and parent.kind == "schema":
                break


def _names_of_parts(reference: Reference, catalog: Catalog) -> Iterator[str]:
    """Yield the names of what is missing or extra with an object, as a column's sequence."""
    for part in catalog.by_parent.get(reference, ()):
        yield from _names_in_dump(part)
        yield from _names_of_parts(part.reference, catalog)


def _names_in_dump(obj: Object) -> Iterator[str]:
    yield from _plain(obj.name)
    if isinstance(obj, Constraint) and obj.index:
        yield from _plain(obj.index)


def _find(reference: Reference, catalogs: Collection[Catalog]) -> Object | None:
    for catalog in catalogs:
        if (obj := catalog.by_reference.get(reference)) is not None:
            return obj
    return None


def _names(identity: DumpedName) -> set[str]:
    """Return the names that an entry may be about: ``partners partners_pkey`` has two."""
    if identity.kind == "DEFAULT ACL":
        return {"DEFAULT PRIVILEGES"}
    prefix = f"{identity.schema}." if identity.schema else ""
    words = {identity.name, *identity.name.split()}
    words |= {word.partition("(")[0] for word in words}
    words |= {word.partition(".")[0] for word in words}
    return {f"{prefix}{word}" for word in words}


def _plain(name: str) -> set[str]:
    """Return a name as pg_dump writes it in its comments: without quotes."""
    plain = name.replace('"', "")
    return {plain, plain.partition("(")[0]}
