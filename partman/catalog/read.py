"""Reads a database into a Catalog: one statement, one snapshot, and no trace of the session.

The time grows with the number of objects, not with rows.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.catalog.model import (
    CLASSES,
    ITS_OWNER,
    Catalog,
    Constraint,
    DefaultGrant,
    Grant,
    Object,
    Other,
    Privilege,
    Reference,
    order,
)
from partman.catalog.queries import STATEMENT
from partman.catalog.views import without_qualifiers
from partman.database.bookkeeping import OBJECTS as BOOKKEEPING_OBJECTS
from partman.errors import ConcurrentSchemaChangeError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# Definitions are printed for the session: by its search_path, constants by its time zone.
_SETTINGS = """
SET LOCAL search_path = '';
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
SET LOCAL quote_all_identifiers = off;
-- It would take longer to compile the statement than to run it.
SET LOCAL jit = off;
"""
_OWN = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "ROLLBACK")
# Going back to a savepoint takes back what was SET after it.
_JOINED = (
    "SAVEPOINT partman_catalog",
    "ROLLBACK TO SAVEPOINT partman_catalog; RELEASE SAVEPOINT partman_catalog",
)

# What one may do with a table, before PostgreSQL 17 added MAINTAIN.
_ALL_OF_A_TABLE = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
)


# The rows are those of the snapshot, but PostgreSQL prints definitions as they are right now: of
# what has been dropped since then there is none, or an error.
_ATTEMPTS = 10


class _VanishedError(Exception):
    """Something is in the snapshot, and not there any more."""


async def read_catalog(
    connection: "Connection[Record]", *, owner: str | None = None, bookkeeping: bool = False
) -> Catalog:
    """Return all that the database contains, in a snapshot of its own or in the open transaction.

    ``owner`` is the role that counts as the one who migrates, and that is called OWNER, so that
    databases whose owners have different names can be equal. It is usually known from the
    database: the owner of Piccolo's ledger or, without one, of the database itself.

    ``bookkeeping``: whether the ledger and partman's history are listed, too.

    Raises ConcurrentSchemaChangeError when others go on changing the schema.
    """
    begin, end = _JOINED if connection.is_in_transaction() else _OWN
    for _ in range(_ATTEMPTS):
        await connection.execute(f"{begin};{_SETTINGS}")
        try:
            rows = await connection.fetch(
                STATEMENT, [] if bookkeeping else BOOKKEEPING_OBJECTS, owner
            )
            return _catalog(rows, before_16=connection.get_server_version().major < 16)
        except (asyncpg.InternalServerError, _VanishedError):
            continue
        finally:
            if not connection.is_closed():
                await connection.execute(end)
    raise ConcurrentSchemaChangeError(
        f"The schema was changed {_ATTEMPTS} times while it was being read. Nothing was done. "
        "Type the command again when whatever changes it is done."
    )


def _catalog(rows: "Iterable[Record]", *, before_16: bool) -> Catalog:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, row in rows:
        found[name].append(json.loads(row))
    if before_16:
        for row in found["View"]:
            row["definition"] = without_qualifiers(row["definition"])
    grants = _grants(found.pop("Grant", [])) + _default_grants(found.pop("DefaultGrant", []))
    objects = [_object(made, row) for made in CLASSES for row in found[made.__name__]]
    return Catalog(tuple(sorted(objects + grants, key=order)))


def _object(made: type[Object], row: dict[str, Any]) -> Object:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    if "parent_kind" in values:
        kind, of = values.pop("parent_kind"), values.pop("parent_name")
        values["parent"] = Reference(kind, of) if kind else None
    if values.get("definition", "") is None and made is not Other:
        raise _VanishedError
    if made is Constraint:
        values["definition"] = values["definition"].removesuffix(" NOT VALID")
    return made(**values)


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
    """Return where what was said differs from what PostgreSQL would do."""
    sides: dict[tuple[str, ...], tuple[set[Privilege], set[Privilege]]]
    sides = defaultdict(lambda: (set(), set()))
    for row in rows:
        key = (row["creator"], row["of"], row["schema"], row["name"])
        sides[key][row["usual"]].add(Privilege(row["privilege"], "", row["grantable"]))
    return [
        DefaultGrant(
            kind="default grant",
            name=grantee,
            parent=Reference("schema", schema) if schema else None,
            creator=creator,
            of=of,
            schema=schema,
            privileges=_of_any_version(said, grantee),
        )
        for (creator, of, schema, grantee), (said, usual) in sides.items()
        if said != usual
    ]


def _of_any_version(privileges: Iterable[Privilege], grantee: str) -> tuple[Privilege, ...]:
    """Sort; leave out MAINTAIN where it comes with being the owner, or with GRANT ALL."""
    names = {privilege.name for privilege in privileges if not privilege.column}
    maintains_anyway = grantee == ITS_OWNER or names >= _ALL_OF_A_TABLE
    return tuple(
        sorted(one for one in privileges if not (one.name == "MAINTAIN" and maintains_anyway))
    )
