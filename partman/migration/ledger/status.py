"""What is applied and what is pending: the migration files held against the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from partman.database.explain import server_message
from partman.errors import PermissionDeniedError, PreflightError
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.identity import MigrationKey, schema_version

if TYPE_CHECKING:
    from asyncpg import Connection, Record


class LedgerRow(NamedTuple):
    """A row of Piccolo's ``migration`` table; a tuple, as there are thousands in each look."""

    app: str
    id: str
    ran_on: datetime
    """Without a time zone: Piccolo stores the local time of the machine that ran it."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)


@dataclass(frozen=True)
class MigrationState:
    """One migration, and when it was applied."""

    app: str
    id: str
    description: str
    applied_at: datetime | None
    """None while it is pending."""
    has_file: bool = True
    """False for one that is in the ledger, but not among the files."""

    @property
    def key(self) -> MigrationKey:
        """Which migration it is."""
        return MigrationKey(self.app, self.id)


@dataclass(frozen=True)
class Status:
    """Where a database stands."""

    migrations: tuple[MigrationState, ...]

    @property
    def applied(self) -> tuple[MigrationState, ...]:
        """The migrations that the ledger holds."""
        return tuple(state for state in self.migrations if state.applied_at is not None)

    @property
    def pending(self) -> tuple[MigrationState, ...]:
        """The migrations that ``forwards all`` would run."""
        return tuple(state for state in self.migrations if state.applied_at is None)

    @property
    def version(self) -> str | None:
        """The newest applied migration, of each app; None for a database that has none."""
        return schema_version((state.key for state in self.applied), apps=len(self.apps))

    @property
    def expected(self) -> str | None:
        """The version that the files lead to."""
        known = [state for state in self.migrations if state.has_file]
        return schema_version((state.key for state in known), apps=len({one.app for one in known}))

    @property
    def apps(self) -> tuple[str, ...]:
        """The apps that have migrations, in the order in which Piccolo runs them."""
        return tuple(dict.fromkeys(state.app for state in self.migrations))


async def read_status(
    connection: "Connection[Record]", files: list[MigrationFile] | None = None
) -> Status:
    """Hold the ledger against the files. Changes nothing, and needs no ledger to be there.

    The files are those that there are now, unless they are given.
    """
    files = migration_files() if files is None else files
    return status_of(files, await read_ledger(connection))


def status_of(files: Iterable[MigrationFile], ledger: Iterable[LedgerRow]) -> Status:
    """Hold a ledger that was read against the files."""
    left = {row.key: row for row in ledger}
    states = []
    for file in files:
        row = left.pop(file.key, None)
        states.append(
            MigrationState(file.app, file.id, file.description, row.ran_on if row else None)
        )
    states += [
        MigrationState(row.app, row.id, "", row.ran_on, has_file=False) for row in left.values()
    ]
    return Status(tuple(states))


async def read_ledger(connection: "Connection[Record]") -> list[LedgerRow]:
    """Return the rows of Piccolo's ledger, oldest first.

    Raises PermissionDeniedError where this role cannot see the ledger, PreflightError where
    another program has a table of its name.
    """
    try:
        rows = await connection.fetch(
            "SELECT app_name, name, ran_on FROM public.migration ORDER BY id"
        )
    except asyncpg.UndefinedTableError:
        if not connection.is_in_transaction():  # the error has ended one: nothing can be asked
            await refuse_hidden(connection)
        return []
    except asyncpg.InsufficientPrivilegeError:
        if not connection.is_in_transaction():
            await refuse_hidden(connection)
        raise
    except asyncpg.UndefinedColumnError as error:
        raise PreflightError(
            f"The table migration is not Piccolo's ledger: {server_message(error)}. Nothing was "
            "run. It is another program's: give partman a database of its own."
        ) from error
    return [LedgerRow(*row) for row in rows]


async def refuse_hidden(connection: "Connection[Record]") -> None:
    """Raise PermissionDeniedError if there is a ledger, but not for this role.

    To a role that may not use a schema, its tables are not there.
    """
    schema = await connection.fetchval(_HIDDEN)
    if schema is not None:
        raise PermissionDeniedError(
            f"There is a ledger, and this role cannot see it: it may not use schema {schema}. "
            "Nothing was run. Use the role that runs the migrations."
        )


_HIDDEN = """
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'migration' AND c.relkind = 'r' AND NOT has_schema_privilege(n.oid, 'USAGE')
    AND n.nspname = 'public'
"""
