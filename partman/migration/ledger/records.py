"""The tables in which migrations are recorded, and rows for Piccolo's ledger."""

from datetime import datetime
from typing import TYPE_CHECKING

from piccolo.apps.migrations.tables import Migration as LedgerTable

from partman.database import bookkeeping
from partman.migration.ledger import history, step_records
from partman.migration.ledger.identity import MigrationKey

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def create_tables(connection: "Connection[Record]") -> None:
    """Create the ledger, the history and the steps' table unless they exist."""
    for statement in LedgerTable.create_table(if_not_exists=True).ddl:
        await connection.execute(statement)
    await history.create(connection)
    await step_records.create(connection)


async def add_to_ledger(connection: "Connection[Record]", migration: MigrationKey) -> None:
    """Record a migration as applied, in the transaction that is open."""
    await connection.execute(
        f"INSERT INTO public.{bookkeeping.LEDGER} (name, app_name, ran_on) VALUES ($1, $2, $3)",
        migration.id,
        migration.app,
        # Local time, as Piccolo writes it: Piccolo reverts migrations in the order of these times.
        datetime.now(),
    )
