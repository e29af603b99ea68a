"""Copy rows from one database to another, over several connections at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected
from partman.database.explain import CONNECTION_LOST, server_message
from partman.errors import MaskError, PartmanError, RehearsalError
from partman.plan.model import size_in_words
from partman.rehearsal.personal import Masks
from partman.rehearsal.sample import Sample
from partman.rehearsal.source import Source, SourceTable, explained
from partman.settings import Settings
from partman.wording import counted, in_seconds

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NAME = "partman rehearse: copy"
_BUFFERED = 16
"""How many pieces that the source has sent may wait for the copy."""

# Rows are not yet worth a sync: a copy need not survive a crash.
_SESSION = """
SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0;
SET default_transaction_read_only = off; SET xmloption = content;
SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'
"""

Report = Callable[[str], object]


class Pace:
    """Limits and reports how fast bytes go, over all connections together."""

    def __init__(self, rate: float | None, rows: int, report: Report) -> None:
        """``rate`` is in bytes a second; ``rows`` are about how many there are to copy."""
        self._rate, self._expected, self._report = rate, rows, report
        self._began = monotonic()
        self._bytes = self._rows = 0
        self._told = 0.0

    async def passed(self, data: bytes) -> None:
        """Count what has passed, and wait if it was too fast."""
        self._bytes += len(data)
        self._rows += data.count(b"\n")  # in the values, a line's end is escaped
        self._tell()
        if self._rate is not None:
            early = self._began + self._bytes / self._rate - monotonic()
            if early > 0:
                await asyncio.sleep(early)

    def _tell(self) -> None:
        now = monotonic()
        if now - self._told < 0.2:
            return
        self._told = now
        seconds = max(now - self._began, 0.001)
        said = f"Copying: {self._rows:,} of about {counted(max(self._expected, self._rows), 'row')}"
        said += f", {size_in_words(self._bytes / seconds)}/s"
        if self._rows and self._expected > self._rows:
            rest = (self._expected - self._rows) * seconds / self._rows
            said += f", {in_seconds(rest)} left"
        self._report(said)


@dataclass(frozen=True)
class Transfer:
    """A copy of rows."""

    source: Source
    copy: Settings
    sample: Sample
    masks: Masks | None
    pace: Pace

    async def run(self, jobs: int) -> dict[str, int]:
        """Copy the rows of all tables; return how many each table got, by its name.

        Raises RehearsalError, and the errors of reading the source.
        """
        waiting = list(reversed(self.source.tables))  # the largest is taken first
        copied: dict[str, int] = {}

        async def work() -> None:
            async with self.source.reader() as reader, connected(self.copy, _NAME) as writer:
                await writer.execute(_SESSION)
                if self.masks is not None:
                    await self.masks.prepare(reader)
                while waiting:
                    table = waiting.pop()
                    copied[table.name] = await self._copy(reader, writer, table)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(max(1, min(jobs, len(waiting)))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return copied

    async def _copy(
        self, reader: "Connection[Record]", writer: "Connection[Record]", table: SourceTable
    ) -> int:
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_BUFFERED)
        failed: list[PartmanError] = []

        async def send() -> None:
            try:
                async with explained(self.source.where):
                    await reader.copy_from_query(self._query(table), output=pieces.put)
            except PartmanError as error:
                failed.append(error)
            await pieces.put(None)

        async def received() -> AsyncIterator[bytes]:
            while (piece := await pieces.get()) is not None:
                await self.pace.passed(piece)
                yield piece
            if failed:
                raise failed[0]

        sending = asyncio.ensure_future(send())
        try:
            tag = await writer.copy_to_table(
                table.bare,
                schema_name=table.schema,
                columns=[column.name for column in table.columns],
                source=received(),
            )
        except (asyncpg.PostgresError, *CONNECTION_LOST) as error:
            raise self._refused(error, table) from error
        finally:
            sending.cancel()
        return int(str(tag).rpartition(" ")[2])

    def _query(self, table: SourceTable) -> str:
        values = [
            self.masks.expression(table, column) if self.masks else column.sql
            for column in table.columns
        ]
        condition = self.sample.conditions.get(table.oid)
        where = f" WHERE {condition}" if condition else ""
        return f"SELECT {', '.join(values)} FROM ONLY {table.sql}{where}"

    def _refused(self, error: Exception, table: SourceTable) -> RehearsalError:
        said = server_message(error)
        masked = self.masks.of(table.name) if self.masks else []
        if masked and isinstance(error, asyncpg.PostgresError):
            return MaskError(
                f"The copy rejects rows of {table.name} whose personal values were replaced "
                f"({', '.join(masked)}): {said}. Nothing was changed; the copy was dropped. Give "
                "the column another kind in `personal` of its table class."
            )
        return RehearsalError(
            f"The rows of {table.name} cannot be copied: {said}. Nothing was changed; the copy was "
            "dropped."
        )
