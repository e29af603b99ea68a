"""Errors of the server and the driver in a ``tenant()`` block, as errors to act on."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import CONNECTION_LOST
from partman.database.poolers import undeclared_pooling
from partman.errors import (
    DatabaseUnavailableError,
    InvalidTenantIdError,
    NotInstalledError,
    NotIsolatedError,
    PartmanError,
    PermissionDeniedError,
    TenantColumnError,
    TenantTimeoutError,
)
from partman.grammar.statements import Node, NotParsedError, nodes, parse
from partman.isolation import Tenancy

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    Raw = Connection[Record] | PoolConnectionProxy[Record]

_LIMITS = {
    "idle_in_transaction_session_timeout": "between two statements",
    "transaction_timeout": "from its beginning to its end",
}
"""Settings after which the server ends a session, and what they limit."""


@dataclass(frozen=True)
class Lost:
    """A connection that was lost in a block. Times are in seconds."""

    error: Exception
    idle: float
    """Since the statement before."""
    age: float
    """Since the block began."""


def explain_beginning(error: BaseException, raw: "Raw", role: str) -> PartmanError | None:
    """Return the error for a block that could not begin as the role; None for any other error."""
    match error:
        case asyncpg.InsufficientPrivilegeError():
            # A proxy may keep it to itself.
            who = getattr(raw.get_settings(), "session_authorization", "the login role")
            is_new = raw.get_server_version() >= (16,)
            # Not to inherit keeps everything outside of tenant() forbidden.
            only = " WITH INHERIT FALSE, SET TRUE" if is_new else ""
            return PermissionDeniedError(
                f"{who} may not become {role}, as tenant() must. Nothing was run. As the "
                f"role that runs the migrations: GRANT {role} TO {who}{only}"
            )
        case asyncpg.UntranslatableCharacterError():
            return InvalidTenantIdError(
                f"The tenant ID is not valid in this database: {error}. Nothing was run."
            )
        case asyncpg.InvalidParameterValueError():
            return NotIsolatedError(
                f"The server does not know the role {role}, which tenant() works as: "
                f"{error}. Nothing was run. Migrate the database: "
                "piccolo migrations forwards all"
            )
    if isinstance(error, CONNECTION_LOST):
        return DatabaseUnavailableError(
            f"The connection was lost as tenant() began: {error}. Nothing was run; try again.",
            transient=True,
        )
    return None


async def explain_loss(
    lost: Lost, connect: Callable[[], Awaitable["Connection[Record]"]]
) -> PartmanError:
    """Return the error for a lost connection.

    The driver does not tell why the server has ended a session that was idle. So the limits of a
    new session are asked, over a connection that ``connect`` opens.
    """
    for name, limit in await _limits(connect):
        reached = lost.idle if name.startswith("idle") else lost.age
        if reached >= limit:
            return TenantTimeoutError(
                f"The server has ended the session of this tenant() block: its {name} is {limit:g} "
                f"s, {_LIMITS[name]}, and the block took {reached:.1f} s. Nothing of the block was "
                "saved. Do slow work, such as requests to other services, before or after the "
                "block."
            )
    return DatabaseUnavailableError(
        f"The connection was lost in the tenant() block: {lost.error}. Nothing of the block was "
        "saved; do it again.",
        transient=True,
    )


async def _limits(
    connect: Callable[[], Awaitable["Connection[Record]"]],
) -> list[tuple[str, float]]:
    """Return the limits that are set; none if the server cannot be asked."""
    names = ", ".join(f"'{name}'" for name in _LIMITS)
    try:
        connection = await connect()
        try:
            rows = await connection.fetch(
                "SELECT name, setting::bigint AS milliseconds FROM pg_catalog.pg_settings "
                f"WHERE name IN ({names}) AND setting::bigint > 0"
            )
        finally:
            connection.terminate()
    except (PartmanError, asyncpg.PostgresError, *CONNECTION_LOST):
        return []
    return [(row["name"], row["milliseconds"] / 1000) for row in rows]


def explain_statement(
    error: asyncpg.PostgresError, sql: str, tenancy: Tenancy
) -> PartmanError | None:
    """Return the error for a statement that the server rejected; None if it explains itself."""
    match error:
        case asyncpg.InvalidSQLStatementNameError() | asyncpg.DuplicatePreparedStatementError():
            return undeclared_pooling()
        case asyncpg.InsufficientPrivilegeError() if _is_of_a_privilege(error):
            return _explain_fixed_columns(sql, tenancy)
        case asyncpg.FeatureNotSupportedError():  # by Citus, which looks before the server does
            return _explain_fixed_columns(sql, tenancy)
    return None


def _is_of_a_privilege(error: asyncpg.PostgresError) -> bool:
    """Whether a privilege is missing; the same code is a row that the policy refuses."""
    return error.as_dict().get("server_source_function") == "aclcheck_error"


def _explain_fixed_columns(sql: str, tenancy: Tenancy) -> TenantColumnError | None:
    try:
        assignments = [*_assignments(sql)]
    except (NotParsedError, NotInstalledError):
        return None
    for table, assigned in assignments:
        is_of_tenants = table == tenancy.table
        fixed = [name for name in assigned if is_of_tenants or name in {"id", tenancy.column}]
        if not fixed:
            continue
        reason = (
            "a tenant may change only some columns of its own row"
            if is_of_tenants
            else "a row stays with its tenant, and keeps its ID"
        )
        return TenantColumnError(
            f"The statement changes {', '.join(fixed)} of {table}, which a tenant may not "
            f"change: {reason}. The tenant() block is rolled back. Leave the columns out of "
            "the update, or of the values of on_conflict()."
        )
    return None


def _assignments(sql: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the tables that a statement updates, and the columns that it assigns."""
    for statement in parse(sql):
        tree = {statement.kind: statement.node}
        for update in nodes(tree, "UpdateStmt"):
            yield _assigned(update, update)
        for insert in nodes(tree, "InsertStmt"):
            yield _assigned(insert, insert.get("onConflictClause", {}))
        for merge in nodes(tree, "MergeStmt"):
            for clause in nodes(merge, "MergeWhenClause"):
                if clause["commandType"] == "CMD_UPDATE":
                    yield _assigned(merge, clause)


def _assigned(statement: Node, clause: Node) -> tuple[str, list[str]]:
    targets = clause.get("targetList", [])
    return statement["relation"]["relname"], [target["ResTarget"]["name"] for target in targets]
