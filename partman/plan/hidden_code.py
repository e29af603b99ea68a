"""Find code whose statements a plan does not see: it may do something else where there are rows."""

import sys
from typing import TYPE_CHECKING

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from partman.migration.ledger.files import find_migration_file
from partman.migration.ledger.identity import MigrationKey
from partman.plan.model import Unseen
from partman.plan.sql import called_functions, kinds, parsed

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# PostgreSQL's own functions have smaller OIDs. A function that is not volatile changes nothing.
_VOLATILE = """
SELECT DISTINCT oid::regproc::text AS name FROM pg_proc
WHERE proname = any($1::text[]) AND provolatile = 'v' AND oid >= 16384 ORDER BY 1
"""


async def hidden_code(connection: "Connection[Record]", sql: str) -> str | None:
    """Return what code the statements run that has statements of its own; None without any."""
    if not parsed(sql):
        return "a statement that the grammar does not know"
    found = kinds(sql)
    if "DoStmt" in found:
        return "a DO block"
    if "ExecuteStmt" in found:
        return "a prepared statement"
    if called := called_functions(sql):
        names = [row["name"] for row in await connection.fetch(_VOLATILE, sorted(called))]
        if names:
            return " and ".join(f"{name}()" for name in names)
    return None


async def python_code(migration: MigrationKey) -> list[Unseen]:
    """Return the Python functions that a migration runs. Piccolo has imported it."""
    file = find_migration_file(migration)
    module = sys.modules.get(file.path.stem) if file else None
    try:
        manager = await module.forwards() if module else None
    except Exception:  # of the migration, which says it when it is run
        return []
    if not isinstance(manager, MigrationManager):
        return []
    return [
        Unseen(f"runs Python code: {getattr(function, '__name__', 'a function')}()", True)
        for function in manager.raw
    ]
