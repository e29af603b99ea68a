"""Ask every rule, in one snapshot, of the database that we are connected to."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from partman.audit import (
    console,
    database,
    functions,
    grant_options,
    indexes,
    keys,
    privileges,
    roles,
    row_security,
    views,
)
from partman.audit.rule import COMMON, ROLES, Gap, Rule
from partman.errors import NotIsolatedError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

RULES: tuple[Rule, ...] = (
    *row_security.RULES,
    # Before the rules of the rights, whose REVOKE stops at what was passed on.
    *grant_options.RULES,
    *privileges.RULES,
    *console.RULES,
    *keys.RULES,
    *indexes.RULES,
    *views.RULES,
    *functions.RULES,
    *roles.RULES,
    *database.RULES,
)
"""Every rule, in the order of the report."""


async def audit(connection: "Connection[Record]", ignore: Collection[str] = ()) -> list[Gap]:
    """Return what keeps the database from isolating its tenants; nothing, if nothing does.

    ``ignore`` has names of rules that are not asked. Reads the catalog only, in a transaction
    that is read-only, and needs no right but to connect.
    Raises NotIsolatedError where there are no roles or no tables to hang isolation on.
    """
    async with _reading(connection):
        await _refuse_unmigrated(connection)
        return [
            Gap(rule.name, row["object"], row["reason"], row["remedy"])
            for rule in RULES
            if rule.name not in ignore
            for row in await connection.fetch(
                f"{COMMON} SELECT * FROM ({rule.query}) AS gap ORDER BY object, reason"
            )
        ]


async def tenant_tables(connection: "Connection[Record]") -> list[str]:
    """Return the names of the tables that the rules took for a tenant's."""
    async with _reading(connection):
        rows = await connection.fetch(f"{COMMON} SELECT name FROM tenant ORDER BY name")
    return [row["name"] for row in rows]


@asynccontextmanager
async def _reading(connection: "Connection[Record]") -> AsyncIterator[None]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # So that every name comes with its schema, and nobody's function stands in for another.
        await connection.execute("SET LOCAL search_path = pg_catalog")
        # It would take seconds to compile what the catalog answers in milliseconds.
        await connection.execute("SET LOCAL jit = off")
        yield


async def _refuse_unmigrated(connection: "Connection[Record]") -> None:
    there = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", ROLES)
    missing = sorted(set(ROLES) - {row["rolname"] for row in there})
    if missing:
        what = f"The server has no role {', '.join(missing)}"
    elif not await connection.fetchval(f"{COMMON} SELECT count(*) FROM tenant"):
        what = "The database has no table organizations, and none with an organization_id"
    else:
        return
    raise NotIsolatedError(
        f"{what}: its tenants are not isolated yet, and nothing was audited. "
        "Run the migrations first: piccolo migrations forwards all"
    )
