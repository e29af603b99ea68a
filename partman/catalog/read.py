"""Read a database into a Catalog: one statement, one snapshot, independent of the session.

The time grows with the number of objects, not of rows.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.catalog import beside_dump
from partman.catalog.model import (
    CLASSES,
    ITS_OWNER,
    Catalog,
    Constraint,
    DefaultGrant,
    Dependency,
    Grant,
    Index,
    IndexKey,
    Object,
    Other,
    Privilege,
    Reference,
    sort_key,
)
from partman.catalog.queries import NOT_COMPARED, statement, statement_of
from partman.catalog.rare_kinds import FOUND
from partman.catalog.views import without_qualifiers
from partman.database.bookkeeping import OBJECTS as BOOKKEEPING_OBJECTS
from partman.database.distributed import own_distribution, refuse_distributed
from partman.errors import ConcurrentSchemaChangeError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# PostgreSQL prints definitions by the session's settings: search_path, time zone and others.
_SETTINGS = """
SET LOCAL search_path = '';
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
SET LOCAL quote_all_identifiers = off;
-- Compiling the statement, and considering every plan for it, would take longer than running it.
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_memoize = off;
SET LOCAL enable_incremental_sort = off;
SET LOCAL plan_cache_mode = force_generic_plan;
"""
_OWN_TRANSACTION = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "ROLLBACK")
# ROLLBACK TO SAVEPOINT also reverts SET LOCAL.
_OPEN_TRANSACTION = (
    "SAVEPOINT partman_catalog",
    "ROLLBACK TO SAVEPOINT partman_catalog; RELEASE SAVEPOINT partman_catalog",
)

# All privileges on a table before PostgreSQL 17, which added MAINTAIN.
_ALL_OF_A_TABLE = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
)


# The rows come from the snapshot, but PostgreSQL prints definitions from the current catalog: for
# an object dropped since then, it returns NULL or raises an error.
_ATTEMPTS = 10


class _VanishedError(Exception):
    """An object of the snapshot has been dropped meanwhile."""


class KnownCatalogs:
    """The two catalogs that were asked for last: the same rows are the same catalog.

    To make one of its rows takes longer than to read them.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Catalog] = {}

    def catalog(self, rows: "list[Record]", make: "Callable[[list[Record]], Catalog]") -> Catalog:
        """Return what ``make`` has made of these rows, in whatever order, or makes of them now."""
        text = "\n".join(sorted(f"{name} {row}" for name, row in rows))
        key = hashlib.sha256(text.encode()).digest()
        # Taken out and put back: the last one is the newest.
        self._known[key] = found = self._known.pop(key, None) or make(rows)
        for old in list(self._known)[:-2]:
            del self._known[old]
        return found


async def read_catalog(
    connection: "Connection[Record]",
    *,
    owner: str | None = None,
    bookkeeping: bool = False,
    distributed: bool = False,
    only: Collection[type[Object]] = (),
    known: KnownCatalogs | None = None,
) -> Catalog:
    """Read the schema, in a snapshot of its own or in the open transaction.

    ``owner`` is the role that appears as OWNER, so that databases whose owners have different
    names can be equal. By default it is the owner of Piccolo's ledger or, without a ledger, of the
    database. ``bookkeeping``: whether to include the ledger and partman's own tables.
    ``distributed``: whether the caller knows that Citus distributes tables; this is only what the
    coordinator has. ``only``: the classes to read; by default all, and what is not compared.
    ``known``: the catalogs of earlier reads of this server.

    Raises DistributedError, and ConcurrentSchemaChangeError if other sessions keep changing the
    schema.
    """
    if not distributed:
        await refuse_distributed(connection)
    left_out = [] if bookkeeping else BOOKKEEPING_OBJECTS
    return await _read(connection, lambda: _rows(connection, left_out, owner, only), known)


async def read_beside_dump(connection: "Connection[Record]") -> Catalog:
    """Read only what pg_dump does not print; see beside_dump. Raises the errors of read_catalog().

    What the catalog says is not compared may differ where two dumps are the same.
    """
    ask = beside_dump.statement
    return await _read(
        connection, lambda: _rows_of_kinds(connection, ask, frozenset(), BOOKKEEPING_OBJECTS, None)
    )


async def _read(
    connection: "Connection[Record]",
    ask: "Callable[[], Awaitable[list[Record]]]",
    known: KnownCatalogs | None = None,
) -> Catalog:
    make = partial(_catalog, before_16=connection.get_server_version().major < 16)
    begin, end = _OPEN_TRANSACTION if connection.is_in_transaction() else _OWN_TRANSACTION
    for _ in range(_ATTEMPTS):
        await connection.execute(f"{begin};{_SETTINGS}")
        try:
            rows = await ask()
            return known.catalog(rows, make) if known else make(rows)
        except (asyncpg.InternalServerError, _VanishedError):
            continue
        finally:
            if not connection.is_closed():
                await connection.execute(end)
    raise ConcurrentSchemaChangeError(
        f"Another session changed the schema during each of {_ATTEMPTS} attempts to read it. "
        "Nothing was done. Run the command again when that session has finished."
    )


_kinds: set[str] = set()
"""The rare kinds of the database that was read last: the next one is probably like it."""


async def _rows(
    connection: "Connection[Record]",
    left_out: Collection[str],
    owner: str | None,
    only: Collection[type[Object]],
) -> "list[Record]":
    """Return what the statement finds, with the rare kinds of this database."""
    if only:
        return await connection.fetch(statement_of(only), left_out, owner)
    rows = await _rows_of_kinds(connection, statement, frozenset(_kinds), left_out, owner)
    _kinds.clear()
    _kinds.update(_found(rows))
    return rows


async def _rows_of_kinds(
    connection: "Connection[Record]",
    ask: Callable[[frozenset[str]], str],
    kinds: frozenset[str],
    left_out: Collection[str],
    owner: str | None,
) -> "list[Record]":
    """Return what the statement for these rare kinds finds, and for those that there are."""
    while True:
        rows = await connection.fetch(ask(kinds), left_out, owner)
        if (found := _found(rows)) <= kinds:
            return rows
        kinds |= found


def _found(rows: "Iterable[Record]") -> set[str]:
    return {json.loads(row) for name, row in rows if name == FOUND}


async def read_live_catalog(
    connection: "Connection[Record]",
    *,
    owner: str | None = None,
    only: Collection[type[Object]] = (),
) -> Catalog:
    """As read_catalog(), and of the coordinator of a database that is distributed.

    Raises DistributedError if something else than ``partman distribute`` has distributed it.
    """
    is_distributed = await own_distribution(connection) is not None
    return await read_catalog(connection, owner=owner, distributed=is_distributed, only=only)


def _catalog(rows: "Iterable[Record]", *, before_16: bool) -> Catalog:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = list(rows)
    # One text for all: a call for each of ten thousands would take longer than what it does.
    for (name, _), row in zip(
        rows, json.loads(f"[{','.join(row for _, row in rows)}]"), strict=True
    ):
        found[name].append(row)
    found.pop(FOUND, None)
    if before_16:
        for row in found["View"]:
            row["definition"] = without_qualifiers(row["definition"])
    grants = _grants(found.pop("Grant", [])) + _default_grants(found.pop("DefaultGrant", []))
    dependencies = [
        Dependency(
            Reference(row["kind"], row["name"]),
            Reference(row["on_kind"], row["on_name"]),
            row["by_default"],
        )
        for row in found.pop(Dependency.__name__, [])
    ]
    objects = [_object(class_, row) for class_ in CLASSES for row in found[class_.__name__]]
    not_compared = {Reference(row["kind"], row["name"]) for row in found[NOT_COMPARED]}
    return Catalog(
        tuple(sorted(objects + grants, key=sort_key)),
        tuple(sorted(not_compared)),
        tuple(sorted(dependencies)),
    )


def _frozen(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_frozen(each) if isinstance(each, list) else each for each in value)


def _object(class_: type[Object], row: dict[str, Any]) -> Object:
    values: dict[str, Any] = {
        key: _frozen(value) if isinstance(value, list) else value for key, value in row.items()
    }
    if "parent_kind" in values:
        kind, of = values.pop("parent_kind"), values.pop("parent_name")
        values["parent"] = Reference(kind, of) if kind else None
    if values.get("definition", "") is None and class_ is not Other:
        raise _VanishedError
    if class_ is Index:
        values["keys"] = tuple(IndexKey(**key) for key in values["keys"])
    if class_ is Constraint:
        values["definition"] = values["definition"].removesuffix(" NOT VALID")
    return class_(**values)


def _grants(rows: Iterable[dict[str, Any]]) -> list[Object]:
    privileges: dict[tuple[Reference, str], set[Privilege]] = defaultdict(set)
    for row in rows:
        parent = Reference(row["parent_kind"], row["parent_name"])
        privilege = Privilege(row["privilege"], row["column"], row["grantable"])
        privileges[parent, row["name"]].add(privilege)
    return [
        Grant(
            kind="grant",
            name=grantee,
            parent=parent,
            privileges=_of_any_version(granted, grantee),
        )
        for (parent, grantee), granted in privileges.items()
    ]


def _default_grants(rows: Iterable[dict[str, Any]]) -> list[Object]:
    """Return the default privileges that differ from PostgreSQL's own defaults."""
    # The privileges that are set, and PostgreSQL's own defaults.
    both: dict[tuple[str, ...], tuple[set[Privilege], set[Privilege]]]
    both = defaultdict(lambda: (set(), set()))
    for row in rows:
        key = (row["creator"], row["of"], row["schema"], row["name"])
        both[key][row["usual"]].add(Privilege(row["privilege"], "", row["grantable"]))
    return [
        DefaultGrant(
            kind="default grant",
            name=grantee,
            parent=Reference("schema", schema) if schema else None,
            creator=creator,
            of=of,
            schema=schema,
            privileges=_of_any_version(granted, grantee),
        )
        for (creator, of, schema, grantee), (granted, default) in both.items()
        if granted != default
    ]


def _of_any_version(privileges: Iterable[Privilege], grantee: str) -> tuple[Privilege, ...]:
    """Sort the privileges; leave out MAINTAIN of the owner, and where it comes with GRANT ALL."""
    whole = [privilege for privilege in privileges if not privilege.column]
    came_with_all = {privilege.name for privilege in whole} >= _ALL_OF_A_TABLE and (
        len({privilege.grantable for privilege in whole}) == 1
    )
    maintains_anyway = grantee == ITS_OWNER or came_with_all
    return tuple(
        privilege
        for privilege in sorted(privileges)
        if not (privilege.name == "MAINTAIN" and maintains_anyway)
    )
