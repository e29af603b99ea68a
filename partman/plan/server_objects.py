"""What a server's databases share, and a trial on a scratch database must leave as it was.

A migration that makes a role makes it for the whole server. What one makes on trial is taken back;
what would change something that was there before is not tried at all.
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
"""A role, and who is a member of it."""


class ServerObjects:
    """What a trial makes on the server beside its scratch database. As an Observer, no more."""

    def __init__(self, roles: frozenset[str], *, is_live: bool) -> None:
        self._before = roles
        self._is_live = is_live
        self._roles: set[str] = set()
        self._memberships: set[Membership] = set()

    @classmethod
    async def note(cls, connection: "Connection[Record]", *, is_live: bool) -> "ServerObjects":
        """Note what is there before the trial.

        ``is_live``: whether it is the live database's server, where nothing may be changed.
        """
        return cls(frozenset(await _roles(connection)), is_live=is_live)

    async def statement(
        self,
        connection: "Connection[Record]",
        sql: str,
        send: Send,
        step: int | None,  # noqa: ARG002 -- an Observer is told
    ) -> Any:
        """Run a statement of which nothing else is asked."""
        async with self.watching(connection, sql):
            return await send()

    @contextlib.asynccontextmanager
    async def watching(self, connection: "Connection[Record]", sql: str) -> AsyncIterator[None]:
        """Note the roles that a statement makes. Raises NotAllowedError instead of running some.

        Only those that its text names: somebody else may make one in the same moment.
        """
        if self._is_live:
            self._refuse(sql)
        if not _ABOUT_ROLES.search(sql):
            yield
            return
        roles, memberships = await _roles(connection), await _memberships(connection)
        yield
        made = {role for role in await _roles(connection) - roles if role.strip('"') in sql}
        self._roles |= made
        self._memberships |= {
            (role, member)
            for role, member in await _memberships(connection) - memberships
            if role.strip('"') in sql and not {role, member} & self._roles
        }

    async def take_back(self, connection: "Connection[Record]") -> list[str]:
        """Undo what the trial made, when its database is gone; return what could not be."""
        left = []
        statements = [f"REVOKE {role} FROM {member}" for role, member in self._memberships]
        statements += [f"DROP ROLE IF EXISTS {role}" for role in sorted(self._roles)]
        for statement in statements:
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as error:
                left.append(f"{statement}: {error}")
        return left

    def _refuse(self, sql: str) -> None:
        found = _ABOUT_THE_SERVER.search(sql)
        what = found[0] if found else None
        for change in _CHANGES_A_ROLE.finditer(sql):
            # Roles are noted as regrole prints them: in lower case, or quoted.
            name = change[1] if change[1].startswith('"') else change[1].lower()
            if name in self._before or name.strip('"') in self._before:
                what = change[0]
        if what:
            raise NotAllowedError(
                f"It would change what all databases of the server share ({what}), so it was "
                "not tried on this one. Type the command with --scratch embedded."
            )


async def _roles(connection: "Connection[Record]") -> set[str]:
    rows = await connection.fetch("SELECT oid::regrole::text FROM pg_roles")
    return {row[0] for row in rows}


async def _memberships(connection: "Connection[Record]") -> set[Membership]:
    return {(row["role"], row["member"]) for row in await connection.fetch(_MEMBERSHIPS)}
