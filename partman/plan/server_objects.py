"""Protect roles and other objects that all databases of a server share.

A role that a trial creates exists on the whole server, so it is dropped after the trial. A
statement that would change an existing shared object is refused: before it is sent if the grammar
tells, else before it is committed.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.database.connection import connected
from partman.database.explain import shortened
from partman.errors import NotAllowedError
from partman.migration.runner.observer import Send
from partman.plan.sql import changes_the_server, may_change_roles, role_names
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_MEMBERSHIPS = """
SELECT roleid::regrole::text AS role, member::regrole::text AS member,
       grantor::regrole::text AS grantor
FROM pg_auth_members
"""

_NAME = "partman: roles of a trial"
_LOOKS = 5
"""How often two sessions are compared: a third one may change something in between."""

Membership = tuple[str, str, str]
"""A role, a role that is a member of it, and the role that made it one."""


class ServerObjects:
    """Observer that tracks the roles and memberships that a trial creates on the server."""

    def __init__(self, settings: Settings, roles: frozenset[str], *, is_live: bool) -> None:
        self._settings = settings
        self._existing_roles = roles
        self._is_live = is_live
        self._created_roles: set[str] = set()
        self._created_memberships: set[Membership] = set()

    @classmethod
    async def before_trial(cls, settings: Settings, *, is_live: bool) -> "ServerObjects":
        """Read the roles that exist before the trial.

        ``settings`` connect to the server. ``is_live``: whether it is the live database's, where
        statements that change an existing shared object are refused. Raises the errors of
        connect().
        """
        async with connected(settings, _NAME) as connection:
            return cls(settings, frozenset(await _read_roles(connection)), is_live=is_live)

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
        Raises NotAllowedError for a statement that changes an existing shared object, and the
        errors of connect().
        """
        if self._is_live:
            self._refuse(sql)
        if not may_change_roles(sql):
            yield
            return
        roles, memberships = await _read_roles(connection), await _read_memberships(connection)
        yield
        roles_now = await _read_roles(connection)
        memberships_now = await _read_memberships(connection)
        if self._is_live and (
            change := self._change(roles, roles_now, memberships - memberships_now)
        ):
            await self._require_anothers(connection, change)
        created = {role for role in roles_now.keys() - roles.keys() if role.strip('"') in sql}
        self._created_roles |= created
        self._created_memberships |= {
            (role, member, grantor)
            for role, member, grantor in memberships_now - memberships
            if role.strip('"') in sql and not {role, member} & self._created_roles
        }

    async def remove_created(self) -> list[str]:
        """Remove what the trial created, after its database is dropped; return what failed.

        Raises the errors of connect().
        """
        failed: list[str] = []
        statements = [
            f"REVOKE {role} FROM {member}" for role, member, _ in self._created_memberships
        ]
        statements += [f"DROP ROLE IF EXISTS {role}" for role in sorted(self._created_roles)]
        if not statements:
            return failed
        async with connected(self._settings, _NAME) as connection:
            for statement in statements:
                try:
                    await connection.execute(statement)
                except asyncpg.PostgresError as error:
                    failed.append(f"{statement}: {error}")
        return failed

    def _refuse(self, sql: str) -> None:
        """Refuse what could not be rolled back, or what the catalog does not show."""
        if (change := changes_the_server(sql)) is not None:
            raise _not_tried(change)
        for role in role_names(sql):
            if role in self._existing_roles:
                raise _not_tried(sql.strip())

    async def _require_anothers(self, connection: "Connection[Record]", change: str) -> None:
        """Refuse a change unless another session has made it, and this one only sees it.

        What a transaction has changed, only its own session sees before the commit.
        """
        if not connection.is_in_transaction():
            raise _not_tried(change)
        async with connected(self._settings, _NAME) as other:
            for _ in range(_LOOKS):
                roles, memberships = await _read_roles(other), await _read_memberships(other)
                own_roles = await _read_roles(connection)
                revoked = memberships - await _read_memberships(connection)
                if self._change(roles, own_roles, revoked) is None:
                    return
        raise _not_tried(change)

    def _change(
        self, before: Mapping[str, str], after: Mapping[str, str], revoked: set[Membership]
    ) -> str | None:
        """Return a change of a role that there was before the trial, or None."""
        for role in sorted(self._existing_roles & before.keys()):
            if after.get(role) != before[role]:
                return f"the role {role}"
        for role, member, _ in sorted(revoked):
            if {role, member} <= self._existing_roles:
                return f"the membership of {member} in {role}"
        return None


def _not_tried(change: str) -> NotAllowedError:
    return NotAllowedError(
        f"The migration changes an object that the server's databases share ({shortened(change)}). "
        "It was not tried on this server. Run: partman plan --scratch embedded"
    )


async def _read_roles(connection: "Connection[Record]") -> dict[str, str]:
    """Return the attributes of each role, as text."""
    rows = await connection.fetch("SELECT oid::regrole::text, r::text FROM pg_roles r")
    return {row[0]: row[1] for row in rows}


async def _read_memberships(connection: "Connection[Record]") -> set[Membership]:
    return {
        (row["role"], row["member"], row["grantor"]) for row in await connection.fetch(_MEMBERSHIPS)
    }
