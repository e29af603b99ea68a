"""Record the locks and the work of each statement of a migration on a scratch database.

``pg_locks`` and the catalog show locks and rewritten tables. They do not show that a table is
scanned; PostgreSQL reports that to the client in messages of level DEBUG1.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from partman.migration.runner.guarded_transaction import NEEDS_NO_TRANSACTION
from partman.migration.runner.observer import Send, is_in_portions
from partman.plan.hidden_code import hidden_code
from partman.plan.model import (
    Lock,
    Measured,
    PlannedStatement,
    Unseen,
    Work,
    WorkKind,
    without_implied,
)
from partman.plan.nontransactional import observe
from partman.plan.reach import unknown_reach
from partman.plan.server_objects import ServerObjects
from partman.plan.sql import changed_tables, copies, kinds, only_inserts
from partman.plan.state import DatabaseState, HeldLock, Relation, read_locks, read_state
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_MESSAGES = {
    WorkKind.REWRITE: re.compile(r'rewriting table "(?P<table>.+)"'),
    WorkKind.SCAN: re.compile(r'verifying table "(?P<table>.+)"'),
    WorkKind.BUILD: re.compile(r'building index "(?P<index>.+)" on table "(?P<table>.+?)" '),
}
_OF_ROWS = frozenset(("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"))
"""What reading and changing rows lock."""
_FOREIGN_KEY_MESSAGE = re.compile(r'validating foreign key constraint "(.+)"')


class Recorder:
    """Observer of one migration on a scratch database."""

    def __init__(
        self,
        settings: Settings,
        live: DatabaseState,
        server_objects: ServerObjects,
        *,
        rows_seen: bool,
    ) -> None:
        """``live`` is the live database's state: only locks and work on its tables are recorded.

        ``rows_seen``: whether it has rows. If not, the rows of tables that an earlier pending
        migration made count as unknown, too.
        """
        self._settings = settings
        self._live = live
        self._rows_seen = rows_seen
        self._server_objects = server_objects
        self._statements: list[PlannedStatement] = []
        self._emptied: set[int] = set()

    @property
    def statements(self) -> tuple[PlannedStatement, ...]:
        """The statements that were recorded."""
        return tuple(self._statements)

    @property
    def emptied(self) -> frozenset[int]:
        """The OIDs of the tables that were truncated."""
        return frozenset(self._emptied)

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement; outside a transaction, in one of its own if the statement allows it."""
        async with self._server_objects.tracking(connection, sql):
            if connection.is_in_transaction():
                return await self._run_in_transaction(connection, sql, send, step)
            try:
                async with connection.transaction():
                    return await self._run_in_transaction(connection, sql, send, step)
            except NEEDS_NO_TRANSACTION:
                return await self._run_without_transaction(connection, sql, send, step)

    async def _run_in_transaction(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        pid = connection.get_server_pid()
        before = await read_state(connection)
        locks_before, _ = await read_locks(connection, pid)
        with _server_messages(connection) as messages:
            await connection.execute("SET client_min_messages = debug1")
            started = time.perf_counter()
            result = await send()
            duration = time.perf_counter() - started
            await connection.execute("RESET client_min_messages")
        after = await read_state(connection)
        held, transaction = await read_locks(connection, pid)
        taken = held - locks_before
        relations = before.relations | after.relations
        statement = PlannedStatement(
            sql=sql,
            duration=duration,
            step=step,
            transaction=transaction,
            locks=self._locks(taken, relations),
            held=self._locks(held, relations),
            measured=Measured.INSIDE,
            work=self._work(sql, before, after, messages, held, taken),
            unseen=await self._unseen(connection, sql, before, held, taken),
            in_portions=is_in_portions(),
        )
        self._record(statement)
        return result

    async def _run_without_transaction(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        before = await read_state(connection)
        tables = [
            table.qualified for table in self._live.tables.values() if table.oid in before.tables
        ]
        with _server_messages(connection) as messages:
            await connection.execute("SET client_min_messages = debug1")
            try:
                observed = await observe(self._settings, connection, tables, send)
            finally:
                await connection.execute("RESET client_min_messages")
        after = await read_state(connection)
        taken = self._locks(observed.locks, before.relations | after.relations)
        statement = PlannedStatement(
            sql=sql,
            duration=observed.duration,
            step=step,
            transaction=None,
            locks=taken,
            held=taken,
            measured=Measured.OUTSIDE,
            work=self._work(sql, before, after, messages, observed.locks, observed.locks),
            unseen=await self._unseen(connection, sql, before, observed.locks, observed.locks),
        )
        self._record(statement)
        return observed.result

    def _record(self, statement: PlannedStatement) -> None:
        if statement.step is not None:  # an earlier attempt of the step was rolled back
            self._statements = [
                earlier
                for earlier in self._statements
                if earlier.step != statement.step or earlier.transaction == statement.transaction
            ]
        self._statements.append(statement)

    def _locks(self, held: set[HeldLock], relations: dict[int, Relation]) -> tuple[Lock, ...]:
        """Return the strongest lock on each relation of the live database, strongest first."""
        strongest: dict[int, Lock] = {}
        for oid, mode in held:
            relation = relations.get(oid)
            if relation is None or oid not in self._live.relations:
                continue
            is_index = relation.table is not None
            table = self._live.relations.get(relation.table or oid)
            if table is None:
                continue
            lock = Lock(table.name, relation.name if is_index else None, mode)
            if oid not in strongest or lock.strength > strongest[oid].strength:
                strongest[oid] = lock
        relevant = without_implied(strongest.values())
        return tuple(
            sorted(relevant, key=lambda lock: (-lock.strength, lock.table, lock.index or ""))
        )

    def _work(
        self,
        sql: str,
        before: DatabaseState,
        after: DatabaseState,
        messages: list[str],
        held: set[HeldLock],
        taken: set[HeldLock],
    ) -> tuple[Work, ...]:
        truncated = self._truncated(sql, before, after, messages)
        self._emptied |= truncated
        work = [
            *self._rewrites(before, after, truncated),
            *self._scans(before, after, messages),
            *self._scans_for_a_domain(sql, before, held),
            *self._changes(sql, before, held, taken),
        ]
        rewritten = {item.table for item in work if item.kind is WorkKind.REWRITE}
        # A rewrite includes scanning the table and building its indexes.
        builds = self._builds(after, messages, without=truncated)
        work += [build for build in builds if build.table not in rewritten]
        return tuple(
            item for item in work if item.kind is not WorkKind.SCAN or item.table not in rewritten
        )

    def _truncated(
        self, sql: str, before: DatabaseState, after: DatabaseState, messages: list[str]
    ) -> set[int]:
        """Return the tables that were given a new, empty file."""
        if copies(sql):
            return set()
        announced = {match["table"] for match in _matches(WorkKind.REWRITE, messages)}
        with_new_file = self._with_new_file(before, after)
        return {oid for oid in with_new_file if before.tables[oid].bare not in announced}

    def _rewrites(
        self, before: DatabaseState, after: DatabaseState, truncated: set[int]
    ) -> Iterator[Work]:
        for oid in sorted(self._with_new_file(before, after) - truncated):
            if oid in self._live.tables:
                yield Work(WorkKind.REWRITE, self._live.tables[oid].name)

    def _with_new_file(self, before: DatabaseState, after: DatabaseState) -> set[int]:
        common = before.tables.keys() & after.tables.keys()
        return {oid for oid in common if after.tables[oid].filenode != before.tables[oid].filenode}

    def _scans(
        self, before: DatabaseState, after: DatabaseState, messages: list[str]
    ) -> Iterator[Work]:
        validated = [
            constraint
            for oid, constraint in after.constraints.items()
            if oid not in before.constraints
        ]
        for match in _matches(WorkKind.SCAN, messages):
            for table in self._live_tables(before, match["table"]):
                names = sorted(each.name for each in validated if each.table == table)
                yield Work(WorkKind.SCAN, self._live.tables[table].name, tuple(names))
        for message in messages:
            if key := _FOREIGN_KEY_MESSAGE.fullmatch(message):
                for table in {each.table for each in validated if each.name == key[1]}:
                    if table in self._live.tables:
                        yield Work(WorkKind.SCAN, self._live.tables[table].name, (key[1],))

    def _scans_for_a_domain(
        self, sql: str, before: DatabaseState, held: set[HeldLock]
    ) -> Iterator[Work]:
        """Yield the tables with a domain's values, which PostgreSQL locks to check a constraint."""
        if "AlterDomainStmt" not in kinds(sql):
            return
        for oid, mode in sorted(held):
            if mode == "SHARE" and oid in self._live.tables and oid in before.tables:
                yield Work(WorkKind.SCAN, self._live.tables[oid].name)

    async def _unseen(
        self,
        connection: "Connection[Record]",
        sql: str,
        before: DatabaseState,
        held: set[HeldLock],
        taken: set[HeldLock],
    ) -> tuple[Unseen, ...]:
        """Return what is unseen of a statement, because the tables have no rows."""
        tables = {table.bare for oid, table in before.tables.items() if oid in self._live.tables}
        found = [Unseen(reason) for reason in unknown_reach(sql, tables)]
        touched = {
            before.tables[oid].name
            for oid, mode in held
            if (mode in _OF_ROWS or (oid, mode) in taken) and self._has_unknown_rows(oid, before)
        }
        # Code that takes no lock on a table has read no row of it. So what it did depended on none.
        if touched and (code := await hidden_code(connection, sql)):
            found.append(Unseen(f"{code} reads or changes {', '.join(sorted(touched))}", True))
        return tuple(found)

    def _has_unknown_rows(self, oid: int, before: DatabaseState) -> bool:
        return oid in before.tables and (oid in self._live.tables or not self._rows_seen)

    def _builds(
        self, after: DatabaseState, messages: list[str], *, without: set[int]
    ) -> Iterator[Work]:
        built: dict[int, list[str]] = {}
        for match in _matches(WorkKind.BUILD, messages):
            for table in self._live_tables(after, match["table"]):
                built.setdefault(table, []).append(match["index"])
        for table, indexes in built.items():
            if table not in without:
                yield Work(WorkKind.BUILD, self._live.tables[table].name, tuple(indexes))

    def _changes(
        self, sql: str, before: DatabaseState, held: set[HeldLock], taken: set[HeldLock]
    ) -> Iterator[Work]:
        if only_inserts(sql):
            return
        named = changed_tables(sql)
        for oid, mode in sorted(held):
            if mode != "ROW EXCLUSIVE" or oid not in self._live.tables or oid not in before.tables:
                continue
            # An earlier statement of the transaction may already hold the lock.
            if (named is None or before.tables[oid].bare in named) or (oid, mode) in taken:
                yield Work(WorkKind.CHANGE, self._live.tables[oid].name)

    def _live_tables(self, state: DatabaseState, bare: str) -> list[int]:
        return [table.oid for table in state.tables_named(bare) if table.oid in self._live.tables]


def _matches(kind: WorkKind, messages: list[str]) -> Iterator[re.Match[str]]:
    for message in messages:
        if match := _MESSAGES[kind].match(message):
            yield match


@contextlib.contextmanager
def _server_messages(connection: "Connection[Record]") -> Iterator[list[str]]:
    """Collect the notices and log messages that the server sends during a block."""
    messages: list[str] = []

    def listen(_: object, message: Any) -> None:
        messages.append(message.message)

    connection.add_log_listener(listen)
    try:
        yield messages
    finally:
        connection.remove_log_listener(listen)
