"""Looks at each statement of a migration that is tried: its locks, and its work.

What a lock is on, and whether a table is rewritten, the catalog and ``pg_locks`` tell. That a
table is read from end to end they do not: but PostgreSQL says so to a session that asks for it,
at the level DEBUG1.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import asyncpg

from partman.migration.runner.observer import Send
from partman.plan.model import Kind, Lock, Measured, PlannedStatement, Work
from partman.plan.nontransactional import watch_from_outside
from partman.plan.server_objects import ServerObjects
from partman.plan.state import DatabaseState, Held, locks, look
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_CANNOT_RUN_IN_A_TRANSACTION = (
    asyncpg.ActiveSQLTransactionError,
    asyncpg.InvalidTransactionTerminationError,
)

_SAYS = {
    Kind.REWRITE: re.compile(r'rewriting table "(?P<table>.+)"'),
    Kind.SCAN: re.compile(r'verifying table "(?P<table>.+)"'),
    Kind.BUILD: re.compile(r'building index "(?P<index>.+)" on table "(?P<table>.+?)" '),
}
_SAYS_OF_A_KEY = re.compile(r'validating foreign key constraint "(.+)"')

# The guard of a run looks into tables, too, before the first statement.
_ALSO_THE_GUARDS = "ACCESS SHARE"

_INSERTS = re.compile(r"\s*(INSERT|COPY)\b", re.IGNORECASE)
_MAY_CHANGE_ROWS = re.compile(r"\s*(UPDATE|DELETE|MERGE|WITH|DO)\b", re.IGNORECASE)
# What gives a table another file, besides ALTER TABLE, which says so, and TRUNCATE.
_COPIES = re.compile(r"\b(CLUSTER|VACUUM|REFRESH|TABLESPACE)\b", re.IGNORECASE)


class Recorder:
    """Observes one migration, on a scratch database."""

    def __init__(self, settings: Settings, live: DatabaseState, shared: ServerObjects) -> None:
        """``live`` is what the live database has: only that is in anybody's way."""
        self._settings = settings
        self._live = live
        self._shared = shared
        self._statements: list[PlannedStatement] = []
        self._emptied: set[int] = set()
        self._last_sent: Send | None = None

    @property
    def statements(self) -> tuple[PlannedStatement, ...]:
        """What was seen."""
        return tuple(self._statements)

    @property
    def emptied(self) -> frozenset[int]:
        """The OIDs of the live tables that were truncated."""
        return frozenset(self._emptied)

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement, in a transaction of its own if it is in none and can be."""
        async with self._shared.watching(connection, sql):
            if connection.is_in_transaction():
                return await self._inside(connection, sql, send, step)
            try:
                async with connection.transaction():
                    return await self._inside(connection, sql, send, step)
            except _CANNOT_RUN_IN_A_TRANSACTION:
                return await self._outside(connection, sql, send, step)

    async def _inside(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        pid = connection.get_server_pid()
        before = await look(connection)
        had, _ = await locks(connection, pid)
        with _listening(connection) as said:
            await connection.execute("SET client_min_messages = debug1")
            started = time.perf_counter()
            result = await send()
            duration = time.perf_counter() - started
            await connection.execute("RESET client_min_messages")
        after = await look(connection)
        has, transaction = await locks(connection, pid)
        names = before.relations | after.relations
        statement = PlannedStatement(
            sql=sql,
            duration=duration,
            step=step,
            transaction=transaction,
            locks=self._locks(has - had, names),
            held=self._locks({one for one in has if one[1] != _ALSO_THE_GUARDS}, names),
            measured=Measured.INSIDE,
            work=self._work(sql, before, after, said, has, has - had),
        )
        self._keep(statement, send)
        return result

    async def _outside(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        before = await look(connection)
        tables = [one.qualified for one in self._live.tables.values() if one.oid in before.tables]
        with _listening(connection) as said:
            await connection.execute("SET client_min_messages = debug1")
            try:
                seen = await watch_from_outside(self._settings, connection, tables, send)
            finally:
                await connection.execute("RESET client_min_messages")
        after = await look(connection)
        taken = self._locks(seen.locks, before.relations | after.relations)
        statement = PlannedStatement(
            sql=sql,
            duration=seen.duration,
            step=step,
            transaction=None,
            locks=taken,
            held=taken,
            measured=Measured.OUTSIDE,
            work=self._work(sql, before, after, said, seen.locks, seen.locks),
        )
        self._keep(statement, send)
        return seen.result

    def _keep(self, statement: PlannedStatement, send: Send) -> None:
        if send is self._last_sent:  # the guard has gone back, and run it again
            self._statements.pop()
        if statement.step is not None:  # it has been rolled back, and is tried again
            self._statements = [
                one
                for one in self._statements
                if one.step != statement.step or one.transaction == statement.transaction
            ]
        self._last_sent = send
        self._statements.append(statement)

    def _locks(self, held: set[Held], relations: dict[int, Any]) -> tuple[Lock, ...]:
        """Return what is locked of the live database, of each only the strongest lock."""
        strongest: dict[int, Lock] = {}
        for oid, mode in held:
            relation = relations.get(oid)
            if relation is None or (relation.table or oid) not in self._live.tables:
                continue
            is_index = relation.table is not None
            if is_index and oid not in self._live.relations:
                continue
            table = self._live.tables[relation.table or oid].name
            lock = Lock(table, relation.name if is_index else None, mode)
            if oid not in strongest or lock.strength > strongest[oid].strength:
                strongest[oid] = lock
        tables = {one.table: one for one in strongest.values() if one.index is None}
        # Who has to wait for an index has to wait for its table already.
        wanted = [
            one
            for one in strongest.values()
            if one.index is None
            or one.table not in tables
            or one.strength > tables[one.table].strength
        ]
        return tuple(sorted(wanted, key=lambda one: (-one.strength, one.table, one.index or "")))

    def _work(
        self,
        sql: str,
        before: DatabaseState,
        after: DatabaseState,
        said: list[str],
        held: set[Held],
        taken: set[Held],
    ) -> tuple[Work, ...]:
        truncated = self._truncated(sql, before, after, said)
        self._emptied |= truncated
        work = [
            *self._rewrites(before, after, truncated),
            *self._scans(before, after, said),
            *self._changes(sql, before, held, taken),
        ]
        rewritten = {one.table for one in work if one.kind is Kind.REWRITE}
        # A table that is rewritten is read, and its indexes are built, by the way.
        builds = self._builds(after, said, without=truncated)
        work += [one for one in builds if one.table not in rewritten]
        return tuple(one for one in work if one.kind is not Kind.SCAN or one.table not in rewritten)

    def _truncated(
        self, sql: str, before: DatabaseState, after: DatabaseState, said: list[str]
    ) -> set[int]:
        """Return the tables that got a new, empty file instead of one with their rows."""
        if _COPIES.search(sql):
            return set()
        announced = {match["table"] for match in _matches(Kind.REWRITE, said)}
        renewed = self._renewed(before, after)
        return {oid for oid in renewed if before.tables[oid].bare not in announced}

    def _rewrites(
        self, before: DatabaseState, after: DatabaseState, truncated: set[int]
    ) -> Iterator[Work]:
        for oid in sorted(self._renewed(before, after) - truncated):
            yield Work(Kind.REWRITE, self._live.tables[oid].name)

    def _renewed(self, before: DatabaseState, after: DatabaseState) -> set[int]:
        there = before.tables.keys() & after.tables.keys() & self._live.tables.keys()
        return {oid for oid in there if after.tables[oid].filenode != before.tables[oid].filenode}

    def _scans(
        self, before: DatabaseState, after: DatabaseState, said: list[str]
    ) -> Iterator[Work]:
        proven = [one for oid, one in after.constraints.items() if oid not in before.constraints]
        for match in _matches(Kind.SCAN, said):
            for table in self._live_tables(before, match["table"]):
                of = sorted(one.name for one in proven if one.table == table)
                yield Work(Kind.SCAN, self._live.tables[table].name, tuple(of))
        for message in said:
            if key := _SAYS_OF_A_KEY.fullmatch(message):
                for table in {one.table for one in proven if one.name == key[1]}:
                    if table in self._live.tables:
                        yield Work(Kind.SCAN, self._live.tables[table].name, (key[1],))

    def _builds(
        self, after: DatabaseState, said: list[str], *, without: set[int]
    ) -> Iterator[Work]:
        built: dict[int, list[str]] = {}
        for match in _matches(Kind.BUILD, said):
            for table in self._live_tables(after, match["table"]):
                built.setdefault(table, []).append(match["index"])
        for table, indexes in built.items():
            if table not in without:
                yield Work(Kind.BUILD, self._live.tables[table].name, tuple(indexes))

    def _changes(
        self, sql: str, before: DatabaseState, held: set[Held], taken: set[Held]
    ) -> Iterator[Work]:
        if _INSERTS.match(sql):
            return
        for oid, mode in sorted(held):
            if mode != "ROW EXCLUSIVE" or oid not in self._live.tables or oid not in before.tables:
                continue
            # An earlier statement of the transaction may have taken the lock already.
            again = _MAY_CHANGE_ROWS.match(sql) and before.tables[oid].bare in sql
            if again or (oid, mode) in taken:
                yield Work(Kind.CHANGE, self._live.tables[oid].name)

    def _live_tables(self, state: DatabaseState, bare: str) -> list[int]:
        return [one.oid for one in state.tables_named(bare) if one.oid in self._live.tables]


def _matches(kind: Kind, said: list[str]) -> Iterator[re.Match[str]]:
    for message in said:
        if match := _SAYS[kind].match(message):
            yield match


@contextlib.contextmanager
def _listening(connection: "Connection[Record]") -> Iterator[list[str]]:
    """Collect what the server says beside its answers."""
    said: list[str] = []

    def listen(_: object, message: Any) -> None:
        said.append(message.message)

    connection.add_log_listener(listen)
    try:
        yield said
    finally:
        connection.remove_log_listener(listen)
