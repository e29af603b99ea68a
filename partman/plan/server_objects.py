"""Protect roles and other objects that all databases of a server share.

A role that a trial creates exists on the whole server, so it is dropped after the trial. A
statement that would change an existing shared object is refused.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.errors import NotAllowedError
from partman.migration.runner.observer import Send

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ABOUT_ROLES = re.compile(r"\b(ROLE|USER|GROUP|GRANT)\b", re.IGNORECASE)
_ABOUT_THE_SERVER = re.compile(
    r"\b(ALTER\s+SYSTEM|(CREATE|DROP)\s+DATABASE|(CREATE|ALTER|DROP)\s+TABLESPACE)\b",
    re.IGNORECASE,
)
_CHANGES_A_ROLE = re.compile(
    r"\b(?:(?:ALTER|DROP)\s+(?:ROLE|USER|GROUP)|(?:DROP|REASSIGN)\s+OWNED\s+BY)\s+"
    r'(?:IF\s+EXISTS\s+)?("[^"]+"|\w+)',
    re.IGNORECASE,
)

_MEMBERSHIPS = """
SELECT roleid::regrole::text AS role, member::regrole::text AS member FROM pg_auth_members
"""

Membership = tuple[str, str]
"""A role, and a role that is a member of it."""


class ServerObjects:
    """Observer that tracks the roles and memberships that a trial creates on the server."""

    def __init__(self, roles: frozenset[str], *, is_live: bool) -> None:
        self._existing_roles = roles
        self._is_live = is_live
        self._created_roles: set[str] = set()
        self._created_memberships: set[Membership] = set()

    @classmethod
    async def before_trial(
        cls, connection: "Connection[Record]", *, is_live: bool
    ) -> "ServerObjects":
        """Read the roles that exist before the trial.

        ``is_live``: whether this is the live database's server, where statements that change an
        existing shared object are refused.
        """
        return cls(frozenset(await _read_roles(connection)), is_live=is_live)

    async def statement(
        self,
        connection: "Connection[Record]",
        sql: str,
        send: Send,
        step: int | None,  # noqa: ARG002 -- part of Observer
    ) -> Any:
        """Run a statement, and track the roles that it creates."""
        async with self.tracking(connection, sql):
            return await send()

    @contextlib.asynccontextmanager
    async def tracking(self, connection: "Connection[Record]", sql: str) -> AsyncIterator[None]:
        """Track the roles that a statement creates.

        Only roles that its text names count: another session may create one at the same time.
        Raises NotAllowedError for a statement that changes an existing shared object.
        """
        if self._is_live:
            self._refuse(sql)
        if not _ABOUT_ROLES.search(sql):
            yield
            return
        roles, memberships = await _read_roles(connection), await _read_memberships(connection)
        yield
        created = {role for role in await _read_roles(connection) - roles if role.strip('"') in sql}
        self._created_roles |= created
        self._created_memberships |= {
            (role, member)
            for role, member in await _read_memberships(connection) - memberships
            if role.strip('"') in sql and not {role, member} & self._created_roles
        }

    async def remove_created(self, connection: "Connection[Record]") -> list[str]:
        """Remove what the trial created, after its database is dropped; return what failed."""
        failed = []
        statements = [f"REVOKE {role} FROM {member}" for role, member in self._created_memberships]
        statements += [f"DROP ROLE IF EXISTS {role}" for role in sorted(self._created_roles)]
        for statement in statements:
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as error:
                failed.append(f"{statement}: {error}")
        return failed

    def _refuse(self, sql: str) -> None:
        found = _ABOUT_THE_SERVER.search(sql)
        change = found[0] if found else None
        for match in _CHANGES_A_ROLE.finditer(sql):
            # Role names are stored as regrole prints them: in lower case, or quoted.
            name = match[1] if match[1].startswith('"') else match[1].lower()
            if name in self._existing_roles or name.strip('"') in self._existing_roles:
                change = match[0]
        if change:
            raise NotAllowedError(
                f"The migration changes an object that the server's databases share ({change}). "
                "It was not tried on this server. Run: partman plan --scratch embedded"
            )


async def _read_roles(connection: "Connection[Record]") -> set[str]:
    rows = await connection.fetch("SELECT oid::regrole::text FROM pg_roles")
    return {row[0] for row in rows}


async def _read_memberships(connection: "Connection[Record]") -> set[Membership]:
    return {(row["role"], row["member"]) for row in await connection.fetch(_MEMBERSHIPS)}
