"""Build a copy of a schema on a scratch database, from a catalog.

Everything is one transaction, which is rolled back at the end: also the roles that the scratch
database's server lacks, which belong to all its databases. There are no rows in a copy.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.catalog.compare import compare
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import (
    ITS_OWNER,
    OWNER,
    PUBLIC,
    Catalog,
    DefaultGrant,
    Grant,
    Policy,
    Reference,
)
from partman.catalog.read import read_catalog
from partman.database.explain import server_message

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NO_SQL = "no SQL is known for it"

# Overrides what the live database may have set for all its sessions. Functions may be created
# before what they mention.
_BEGIN = """
BEGIN READ WRITE;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '10s';
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL check_function_bodies = off
"""


@dataclass(frozen=True)
class SchemaCopy:
    """A copy, as PostgreSQL prints it."""

    catalog: Catalog
    not_built: Mapping[Reference, str]
    """The objects that the copy lacks, and why; with their parts."""


@asynccontextmanager
async def schema_copy(
    connection: "Connection[Record]", catalog: Catalog
) -> AsyncIterator[SchemaCopy]:
    """Build the objects of a catalog in an empty database, and take them back after the block.

    What cannot be built is left out.
    """
    await connection.execute(_BEGIN)
    try:
        await _create_roles(connection, _roles(catalog))
        empty = await read_catalog(connection)
        changes = plan(catalog, empty, verbatim=True).changes
        errors = await _apply_in_any_order(connection, changes)
        found = await _with_grants(connection, catalog)
        yield SchemaCopy(found, dict(_not_built(catalog, found, errors)))
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")


async def apply(connection: "Connection[Record]", changes: Sequence[Change]) -> dict[int, str]:
    """Run the statements of changes; return PostgreSQL's error for each that fails, by its index.

    A change that fails leaves nothing.
    """
    if await _error_of(connection, [sql for change in changes for sql in change.forwards]) is None:
        return {}
    errors = {
        number: await _error_of(connection, change.forwards)
        for number, change in enumerate(changes)
    }
    return {number: error for number, error in errors.items() if error is not None}


async def _error_of(connection: "Connection[Record]", statements: Sequence[str]) -> str | None:
    """Run statements in a savepoint; return the error if one fails."""
    if not statements:
        return None
    try:
        await connection.execute(
            ";\n".join(("SAVEPOINT change", *statements, "RELEASE SAVEPOINT change"))
        )
    except asyncpg.PostgresError as error:
        await connection.execute("ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change")
        return server_message(error)
    return None


@asynccontextmanager
async def taken_back(connection: "Connection[Record]") -> AsyncIterator[None]:
    """Undo at the end of the block what it has done in the open transaction."""
    await connection.execute("SAVEPOINT trial")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK TO SAVEPOINT trial; RELEASE SAVEPOINT trial")


async def _apply_in_any_order(
    connection: "Connection[Record]", changes: Sequence[Change]
) -> dict[Reference, str]:
    """Run changes, and those that fail once more, while that helps; return the errors that stay."""
    waiting = list(changes)
    while errors := await apply(connection, waiting):
        if len(errors) == len(waiting):
            return {waiting[number].reference: error for number, error in errors.items()}
        waiting = [waiting[number] for number in errors]
    return {}


async def _with_grants(connection: "Connection[Record]", catalog: Catalog) -> Catalog:
    """Return what was built, with exactly the grants of the catalog.

    An object that was created before a default privilege lacks what it would have got by it.
    """
    found = await read_catalog(connection)
    if not any(each.reference.kind == "grant" for each in compare(catalog, found)):
        return found
    changes = plan(catalog, found, verbatim=True).changes
    await apply(connection, [each for each in changes if each.reference.kind == "grant"])
    return await read_catalog(connection)


def _not_built(
    catalog: Catalog, found: Catalog, errors: Mapping[Reference, str]
) -> Iterator[tuple[Reference, str]]:
    for obj in catalog.objects:
        if obj.reference in errors:
            yield obj.reference, errors[obj.reference]
        elif obj.reference not in found.by_reference:
            parent = obj
            while parent.parent and parent.reference not in errors:
                above = catalog.by_reference.get(parent.parent)
                if above is None:
                    break
                parent = above
            yield obj.reference, errors.get(parent.reference, _NO_SQL)


# Roles


def _roles(catalog: Catalog) -> set[str]:
    """Return the roles that a catalog mentions, quoted where needed."""
    found: set[str | None] = set()
    for obj in catalog.objects:
        found.add(getattr(obj, "owner", None))
        match obj:
            case Grant():
                found.add(obj.name)
            case DefaultGrant():
                found |= {obj.name, obj.creator}
            case Policy():
                found |= set(obj.roles)
    return {name for name in found if name not in (None, PUBLIC, OWNER, ITS_OWNER)}


async def _create_roles(connection: "Connection[Record]", names: Collection[str]) -> None:
    """Create the roles that the server lacks; become a member of all, to give them objects.

    What is not allowed is left out: then the objects that need it cannot be built.
    """
    missing = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regrole(name) IS NULL",
        sorted(names),
    )
    for name in sorted({row["name"] for row in missing}):
        await _error_of(connection, [f"CREATE ROLE {name}"])
    for name in sorted(names):
        await _error_of(connection, [f"GRANT {name} TO CURRENT_USER"])
