"""Measure each statement of a migration on a copy with rows.

A lock counts from the statement that takes it, or from what the guard does before that, until the
transaction has ended: other sessions wait for it that long. What the rehearsal itself asks in
between does not count.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from partman.migration.runner.guard import Outcome
from partman.migration.runner.losses import Loss
from partman.migration.runner.observer import Send, is_in_portions
from partman.plan.model import without_implied
from partman.plan.server_objects import ServerObjects
from partman.plan.state import DatabaseState, HeldLock, read_locks
from partman.rehearsal.look import (
    Counts,
    Look,
    OpenTransaction,
    Stopwatch,
    count_rows,
    counts_between,
    look,
    with_new_file,
)
from partman.rehearsal.model import MeasuredStatement, TableRows, TimedLock
from partman.rehearsal.scale import Scale, write_out

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_PAUSE = 0.005
"""Seconds between two looks at the locks of a statement that runs in no transaction."""
_MUCH_WAL = 1024 * 1024
"""Bytes from which on what a statement on a sample has left unwritten is measured."""
_OF_ROWS = frozenset(("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"))
"""What reading and changing rows lock; changed rows are told as such."""


@dataclass(frozen=True)
class _Seen:
    """A statement whose transaction may still be open."""

    sql: str
    step: int | None
    in_portions: bool
    started: float
    seconds: float
    estimated: float
    locks: dict[HeldLock, float]
    """When it took them, or how long it held them if it ran in no transaction."""
    rows: dict[int, Counts]
    wal: int
    growth: int
    transactional: bool = True


class RowRecorder:
    """Observer of one migration on a copy."""

    def __init__(
        self,
        meters: "Connection[Record]",
        server_objects: ServerObjects,
        before: DatabaseState,
        scale: Mapping[int, Scale],
    ) -> None:
        """``meters`` is a connection beside the run's.

        ``before``: what other sessions could use before the migration: only that can block them.
        ``scale``: how many of the rows of a table a sample has, by OID; empty without a sample.
        """
        self._meters = meters
        self._server_objects = server_objects
        self._before = before
        self._tables = {oid: table.name for oid, table in before.tables.items()}
        self._scale = scale
        self._nothing_to_write = 0.0
        """Seconds of a checkpoint without anything to write."""
        self._watch = Stopwatch()
        self._connection: Connection[Record] | None = None
        self._open: OpenTransaction | None = None
        self._seen: list[_Seen] = []
        self._names: dict[int, tuple[int, str | None]] = {}
        """Of each relation: its table, and its name if it is an index."""
        self._done: list[MeasuredStatement] = []
        self._losses: list[Loss] = []

    async def prepare(self) -> None:
        """Let the server write what making a sample has left in memory."""
        if self._scale:
            await write_out(self._meters)
            self._nothing_to_write = await write_out(self._meters)

    @property
    def statements(self) -> tuple[MeasuredStatement, ...]:
        """The statements that were measured; of a migration that failed, as far as it came."""
        self._end()
        return tuple(self._done)

    @property
    def asked(self) -> float:
        """The seconds that the measuring itself took."""
        return self._watch.stood

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What the guard has found."""
        return tuple(Loss(each.what, each.how, each.rows) for each in self._losses)

    def finished(self, outcome: Outcome) -> None:
        """Note what a transaction has lost."""
        self._losses += outcome.losses

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement and measure it."""
        self._listen(connection)
        async with self._server_objects.tracking(connection, sql):
            if connection.is_in_transaction():
                return await self._in_transaction(connection, sql, send, step)
            return await self._outside(connection, sql, send, step)

    async def _in_transaction(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        with self._watch.stopped():
            before = await look(connection, self._meters)
        if self._open is None:
            self._open = OpenTransaction(self._watch.now() - before.age)
        by_guard = self._open.note(before.locks, self._open.started)
        started = self._watch.now()
        try:
            result = await send()
        except BaseException:
            if step is not None:  # it is rolled back, and may be tried again
                self._seen.clear()
            raise
        ended = self._watch.now()
        with self._watch.stopped():
            after = await look(connection, self._meters)
            rewritten = await count_rows(connection, with_new_file(before, after))
        taken = self._open.note(after.locks, started) | by_guard
        locks = {lock: self._open.acquired[lock] for lock in taken}
        rows = counts_between(before, after, rewritten)
        unwritten = await self._write_out(before, after)
        self._note(sql, step, before, after, (started, ended), locks, rows, unwritten)
        self._open.started = ended  # what the guard locks next, it locks after this
        return result

    async def _outside(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        before = await look(connection, self._meters)
        pid = connection.get_server_pid()
        first: dict[HeldLock, float] = {}
        last: dict[HeldLock, float] = {}
        started = self._watch.now()
        running = asyncio.ensure_future(send())
        try:
            while not running.done():
                asked = self._watch.now()
                held, _ = await read_locks(self._meters, pid)
                for lock in held:
                    first.setdefault(lock, asked)
                    last[lock] = self._watch.now()
                await asyncio.wait({running}, timeout=_PAUSE)
            result = await running
        finally:
            running.cancel()
        ended = self._watch.now()
        after = await look(connection, self._meters)
        held_for = {lock: last[lock] - first[lock] for lock in first}
        unwritten = await self._write_out(before, after)
        self._note(sql, step, before, after, (started, ended), held_for, None, unwritten)
        self._end()
        return result

    def _note(
        self,
        sql: str,
        step: int | None,
        before: Look,
        after: Look,
        times: tuple[float, float],
        locks: dict[HeldLock, float],
        rows: dict[int, Counts] | None,
        unwritten: float,
    ) -> None:
        """Note a statement; ``rows`` is None if it ran in no transaction, which counts them.

        ``unwritten``: seconds to write what it left in memory, where that is a sample's.
        """
        for oid, relation in (before.relations | after.relations).items():
            index = relation.name if relation.table is not None else None
            self._names[oid] = (relation.table or oid, index)
        transactional = rows is not None
        worked_on = {self._table_of(oid) for oid, _ in locks} if rows is None else set(rows)
        seconds = times[1] - times[0]
        factor = max(
            (self._scale[oid].factor for oid in worked_on if oid in self._scale), default=1.0
        )
        self._seen.append(
            _Seen(
                sql=sql,
                step=step,
                in_portions=is_in_portions(),
                started=times[0],
                seconds=seconds,
                estimated=(seconds + unwritten) * factor if factor > 1 else seconds,
                locks=locks,
                rows={oid: of for oid, of in (rows or {}).items() if oid in self._tables},
                wal=max(0, after.wal - before.wal),
                growth=after.size - before.size,
                transactional=transactional,
            )
        )

    async def _write_out(self, before: Look, after: Look) -> float:
        """Write what a statement on a sample left in memory; return the seconds."""
        if not self._scale or after.wal - before.wal < _MUCH_WAL:
            return 0.0
        with self._watch.stopped():
            return max(0.0, await write_out(self._meters) - self._nothing_to_write)

    def _listen(self, connection: "Connection[Record]") -> None:
        """Learn when a transaction ends, however it does."""
        if connection is self._connection:
            return
        self._connection = connection

        def over(_: object) -> None:
            if self._open is not None and not connection.is_in_transaction():
                self._end()

        connection.add_query_logger(over)

    def _end(self) -> None:
        """Conclude the statements of a transaction that is over."""
        now = self._watch.now()
        extra = sum(each.estimated - each.seconds for each in self._seen)
        for seen in self._seen:
            measured = self._measured(seen, now, extra)
            last = self._done[-1] if self._done else None
            if seen.in_portions and last and last.step == seen.step and last.sql == measured.sql:
                self._done[-1] = _together(last, measured)
            else:
                self._done.append(measured)
            extra -= seen.estimated - seen.seconds
        self._seen, self._open = [], None

    def _measured(self, seen: _Seen, now: float, extra: float) -> MeasuredStatement:
        """``extra``: how much longer the rest of the transaction takes on all rows."""
        own = seen.estimated - seen.seconds
        return MeasuredStatement(
            sql=_without_position(seen.sql) if seen.in_portions else seen.sql,
            step=seen.step,
            seconds=seen.seconds,
            estimated=seen.estimated,
            portions=1,
            transactional=seen.transactional,
            locks=self._locks(
                {
                    lock: now - when + extra if seen.transactional else when + own
                    for lock, when in seen.locks.items()
                }
            ),
            rows=tuple(
                TableRows(
                    table=self._tables[oid],
                    read=counts.read,
                    inserted=counts.inserted,
                    updated=counts.updated,
                    deleted=counts.deleted,
                    rewritten=counts.rewritten,
                    locked=(now - seen.started + extra)
                    if counts.updated + counts.deleted > 0
                    else 0.0,
                )
                for oid, counts in seen.rows.items()
            ),
            wal=seen.wal,
            growth=seen.growth,
        )

    def _locks(self, held: Mapping[HeldLock, float]) -> tuple[TimedLock, ...]:
        """Return the strongest lock on each relation that there was before, longest first."""
        strongest: dict[int, TimedLock] = {}
        for (oid, mode), seconds in held.items():
            table, index = self._names.get(oid, (oid, None))
            if oid not in self._before.relations or mode in _OF_ROWS:
                continue
            lock = TimedLock(self._tables[table], index, mode, seconds)
            known = strongest.get(oid)
            if known is None or lock.strength > known.strength:
                strongest[oid] = lock
        relevant = without_implied(strongest.values())
        return tuple(sorted(relevant, key=lambda lock: (-lock.held, lock.table, lock.index or "")))

    def _table_of(self, oid: int) -> int:
        return self._names.get(oid, (oid, None))[0]


class Unmeasured:
    """Observer of a migration on a copy that is not measured, on its way back."""

    def __init__(self, server_objects: ServerObjects) -> None:
        self._server_objects = server_objects

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement."""
        return await self._server_objects.statement(connection, sql, send, step)

    def finished(self, outcome: Outcome) -> None:
        """Do without what it has lost: what it may not lose, the guard says."""


def _without_position(sql: str) -> str:
    """Return an UPDATE of a portion up to its condition, which differs from portion to portion."""
    return sql.partition("\n WHERE ")[0].rstrip()


def _together(one: MeasuredStatement, other: MeasuredStatement) -> MeasuredStatement:
    """Return two portions of a backfill as one statement."""
    rows = {each.table: each for each in one.rows}
    for each in other.rows:
        known = rows.get(each.table, TableRows(each.table))
        rows[each.table] = TableRows(
            each.table,
            known.read + each.read,
            known.inserted + each.inserted,
            known.updated + each.updated,
            known.deleted + each.deleted,
            known.rewritten + each.rewritten,
            max(known.locked, each.locked),
        )
    locks: dict[tuple[str, str | None, str], TimedLock] = {}
    for lock in (*one.locks, *other.locks):
        key = (lock.table, lock.index, lock.mode)
        if key not in locks or lock.held > locks[key].held:
            locks[key] = lock
    return replace(
        one,
        seconds=one.seconds + other.seconds,
        estimated=one.estimated + other.estimated,
        portions=one.portions + other.portions,
        locks=tuple(locks.values()),
        rows=tuple(rows.values()),
        wal=one.wal + other.wal,
        growth=one.growth + other.growth,
    )
