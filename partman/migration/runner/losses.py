"""Data that a migration took away: what is said of it, and whether it is allowed."""

import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import CONNECTION_LOST
from partman.errors import DataLossError
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")

_LONGEST_COUNT_MS = 30_000


@dataclass(frozen=True)
class Loss:
    """Data that a migration removed."""

    table: str
    """Its name, as SQL has it."""
    how: str
    rows: int | None
    """Number of rows or values; None if they could not be counted."""
    column: str | None = None
    """Its name, as SQL has it; None for whole rows."""

    def __str__(self) -> str:
        what = self.table if self.column is None else f"{self.table}.{self.column}"
        count = "an unknown number of rows" if self.rows is None else counted(self.rows, "row")
        return f"{what}: {self.how} ({count})"


@dataclass(frozen=True)
class RowChanges:
    """How many rows of a table a migration changed."""

    table: str
    updated: int
    deleted: int

    def __str__(self) -> str:
        numbers = ((self.updated, "updated"), (self.deleted, "deleted"))
        return f"{self.table}: " + ", ".join(
            f"{counted(number, 'row')} {verb}" for number, verb in numbers if number
        )


def is_allowed(migration: str, settings: Settings) -> bool:
    """Whether a migration may lose data."""
    return settings.policy.data_loss or migration in settings.data_loss_in


async def refuse_losses(
    connection: "Connection[Record]", losses: Sequence[Loss], migration: str, settings: Settings
) -> None:
    """Roll back and raise DataLossError if data was lost; only warn where it is allowed."""
    if not losses:
        return
    if is_allowed(migration, settings):
        logger.warning("%s loses data: %s.", migration, _listed(losses))
        return
    await connection.execute("ROLLBACK")
    losses = [await _counted(connection, loss) for loss in losses]
    raise DataLossError(
        f"{migration} would lose data: {_listed(losses)}. It was rolled back; the database is as "
        f"it was before it. To allow the loss, set: PARTMAN_ALLOW_DATA_LOSS={migration}"
    )


async def _counted(connection: "Connection[Record]", loss: Loss) -> Loss:
    """Count what was lost, now that the rollback has brought it back."""
    if loss.rows is not None:
        return loss
    rows = None
    with contextlib.suppress(asyncpg.PostgresError, *CONNECTION_LOST):
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = {_LONGEST_COUNT_MS}")
            rows = await connection.fetchval(
                f"SELECT count({loss.column or '*'}) FROM {loss.table}"
            )
    return dataclasses.replace(loss, rows=rows)


def _listed(losses: Sequence[Loss]) -> str:
    return "; ".join(str(loss) for loss in losses)
