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

    what: str
    """``table`` or ``table.column``."""
    how: str
    rows: int | None
    """Number of rows or values; None if they could not be counted."""

    def __str__(self) -> str:
        count = "an unknown number of rows" if self.rows is None else counted(self.rows, "row")
        return f"{self.what}: {self.how} ({count})"


@dataclass(frozen=True)
class CountableLoss(Loss):
    """Data that a rollback brings back, to be counted then."""

    query: str
    """Counts it."""

    @classmethod
    def of(
        cls, table: str, how: str, rows: int | None, column: str | None = None
    ) -> "CountableLoss":
        """Return the loss of rows, or of a column's values; the names are SQL."""
        what = table if column is None else f"{table}.{column}"
        return cls(what, how, rows, f"SELECT count({column or '*'}) FROM {table}")


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
    connection: "Connection[Record]",
    losses: Sequence[CountableLoss],
    migration: str,
    settings: Settings,
    *,
    rolled_back: str,
) -> None:
    """Roll back and raise DataLossError if data was lost; only warn where it is allowed.

    ``rolled_back`` is what became of the migration then, as sentences.
    """
    if not losses:
        return
    if is_allowed(migration, settings):
        logger.warning("%s loses data: %s.", migration, _listed(losses))
        return
    await connection.execute("ROLLBACK")
    losses = [await _counted(connection, loss) for loss in losses]
    raise DataLossError(
        f"{migration} would lose data: {_listed(losses)}. {rolled_back} To allow the loss, "
        f"set: PARTMAN_ALLOW_DATA_LOSS={migration}"
    )


async def _counted(connection: "Connection[Record]", loss: CountableLoss) -> CountableLoss:
    """Count what was lost, now that the rollback has brought it back."""
    if loss.rows is not None:
        return loss
    rows = None
    with contextlib.suppress(asyncpg.PostgresError, *CONNECTION_LOST):
        async with connection.transaction(readonly=True):
            await connection.execute(f"SET LOCAL statement_timeout = {_LONGEST_COUNT_MS}")
            rows = await connection.fetchval(loss.query)
    return dataclasses.replace(loss, rows=rows)


def _listed(losses: Sequence[Loss]) -> str:
    return "; ".join(str(loss) for loss in losses)
