"""Give objects of a restored database to owners that may create nothing in their schema.

A new owner needs CREATE on the schema, which a migration grants and revokes again, and a dump does
not. A superuser restores without it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected
from partman.grammar import NotParsedError, parse
from partman.grammar.names import quoted
from partman.grammar.statements import nodes
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SCHEMAS = """
SELECT quote_ident(nspname) FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
    AND NOT has_schema_privilege($1::text, oid, 'CREATE')
"""


async def give_to_owners(settings: Settings, commands: Iterable[str]) -> set[str]:
    """Run those of the commands again that change an owner; return those that now succeed."""
    owners = {command: owner for command in commands if (owner := _new_owner(command))}
    if not owners:
        return set()
    async with connected(settings, "partman rehearse: owners") as connection:
        return {
            command
            for command, owner in owners.items()
            if await _is_given(connection, command, owner)
        }


async def _is_given(connection: "Connection[Record]", command: str, owner: str) -> bool:
    schemas = [schema for (schema,) in await connection.fetch(_SCHEMAS, owner)]
    role = quoted(owner)
    try:
        async with connection.transaction():
            for schema in schemas:
                await connection.execute(f"GRANT CREATE ON SCHEMA {schema} TO {role}")
            await connection.execute(command)
            for schema in schemas:
                await connection.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {role}")
    except asyncpg.PostgresError:
        return False
    return True


def _new_owner(command: str) -> str | None:
    return next(_new_owners(command), None)


def _new_owners(command: str) -> Iterator[str]:
    try:
        statements = parse(command)
    except NotParsedError:
        return
    for statement in statements:
        if statement.kind == "AlterOwnerStmt":
            yield statement.node["newowner"]["rolename"]
        for change in nodes(statement.node, "AlterTableCmd"):
            if change["subtype"] == "AT_ChangeOwner":
                yield change["newowner"]["rolename"]
