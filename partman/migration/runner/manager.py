"""The MigrationManager of migrations that have SQL of their own."""

import contextlib
import inspect
import itertools
from collections.abc import Awaitable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from piccolo.apps.migrations.auto.migration_manager import (
    MigrationManager as PiccoloMigrationManager,
)

from partman.database.engine import project_engine
from partman.errors import MigrationFailedError
from partman.migration.runner.backfill import Backfill, Pace
from partman.migration.runner.command import running_migration
from partman.migration.runner.engine import MigrationEngine
from partman.migration.runner.requirements import Fetch, Requirement, refuse_violations
from partman.piccolo_cli import reporting_errors

if TYPE_CHECKING:
    from partman.migration.runner.step_output import StepOutput

T = TypeVar("T")


@dataclass(frozen=True)
class Sql:
    """Statements, and the statements that revert them."""

    forwards: tuple[str | Backfill, ...]
    backwards: tuple[str | Backfill, ...]


@dataclass
class MigrationManager(PiccoloMigrationManager):
    """Piccolo's MigrationManager, with statements that run after its schema operations.

    Piccolo's ``add_raw`` runs before them, and previews do not show it. So with ``add_raw`` one
    migration could not create a table and its policies.
    """

    sql: list[Sql] = field(default_factory=list)
    sql_before: list[Sql] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    is_online: bool = False
    _done_in_sql: int = 0
    """How many of Piccolo's operations the migration performs in SQL instead."""

    def add_sql(
        self,
        forwards: str | list[str] | None,
        backwards: str | list[str] | None,
        *,
        before: bool = False,
    ) -> None:
        """Run SQL after the schema operations; backwards, before them and in reverse order.

        Each string reaches the server as it is; it may have several lines, and several statements.
        A list is several strings.
        ``before``: run it before the schema operations; backwards, after them. Use this to drop
        what blocks them or depends on a column, and to create it again.
        """
        statements = self.sql_before if before else self.sql
        statements.append(Sql(_statements(forwards), _statements(backwards)))

    def backfill(
        self,
        table: str,
        forwards: str | None,
        backwards: str | None = None,
        *,
        where: str | None = None,
        where_backwards: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Change the rows of a table in portions, as a step of an online migration.

        ``forwards`` and ``backwards`` are the SET clauses of an UPDATE, such as
        ``"size = old_size * 10"``; ``where`` and ``where_backwards`` are its conditions. The rows
        are divided by the primary key, of any type. Each portion is one commit, and records its
        position, so each row is changed once, however often the run is killed. The number of rows
        of a portion follows from the time that it takes: see Pace.

        Rows that other sessions insert meanwhile may be behind the position: give them their
        value by a default or a trigger, from a step before. ``where`` must then leave them out.
        """
        parts = [
            (Backfill(table, clause, condition, pace or Pace()),) if clause else ()
            for clause, condition in ((forwards, where), (backwards, where_backwards))
        ]
        self.sql.append(Sql(*parts))

    def require_no_rows(self, rule: str, query: str, *, backwards: bool = False) -> None:
        """Refuse to run forwards while ``query`` returns rows, which violate ``rule``.

        With ``backwards``, refuse to run backwards instead, and not forwards.

        ``rule`` is a sentence such as "a size is positive". All requirements are checked before
        the first statement. If one is violated, the run ends with RequirementViolatedError, which
        names the rule, the number of rows and the query.
        """
        self.requirements.append(Requirement(rule, inspect.cleandoc(query), backwards))

    def online(self) -> None:
        """Run the statements in steps with a commit each, so that other sessions wait only briefly.

        Each ``add_sql`` is one step. It waits at most 100 ms at a time for its locks, and is
        recorded when it is done, so a killed run is resumed at its step. What it sets in the
        session, such as a role, ends with it. An online migration
        may have only ``add_sql``, and operations declared in ``done_in_sql``.
        """
        self.is_online = True
        self.wrap_in_transaction = False

    @contextlib.contextmanager
    def done_in_sql(self) -> Iterator[None]:
        """Declare, in a block, schema operations that the SQL of an online migration performs.

        Piccolo's ``--auto`` compares the table classes with the declared operations. They are not
        run, because as Piccolo runs them they would lock the table for their whole duration.
        """
        before = len(self._operations())
        yield
        self._done_in_sql += len(self._operations()) - before

    def requirements_of(self, *, backwards: bool) -> list[Requirement]:
        """Return what the rows must satisfy before a run in one direction."""
        return [each for each in self.requirements if each.backwards is backwards]

    def steps(self, *, backwards: bool = False) -> list[tuple[str | Backfill, ...]]:
        """Return the statements of each step of an online migration."""
        return _steps([*self.sql_before, *self.sql], backwards)

    async def run(self, backwards: bool = False) -> None:
        """Run or preview the migration, in one transaction or in steps."""
        with reporting_errors():
            if self.is_online:
                await self._run_online(backwards)
            else:
                await self._run_in_transaction(backwards)

    async def _run_in_transaction(self, backwards: bool) -> None:
        self._refuse_done_in_sql()
        self._refuse_backfills()
        engine = project_engine(MigrationEngine)
        # The transaction that Piccolo's run() opens joins this one.
        async with self._transaction(engine):
            await self._require(engine.run_ddl, backwards)
            first, last = self.sql_before, self.sql
            if backwards:
                first, last = last, first
            await self._run_statements(_steps(first, backwards))
            await super().run(backwards=backwards)
            await self._run_statements(_steps(last, backwards))

    def _transaction(self, engine: MigrationEngine) -> AbstractAsyncContextManager[object]:
        if self.wrap_in_transaction:
            return engine.transaction()
        migration = running_migration()
        if self.preview or migration is None or not engine.in_migration:
            return contextlib.nullcontext()
        return engine.migration_run().without_transaction(migration)

    async def _run_online(self, backwards: bool) -> None:
        # Most migrations are not online, and most runs have none.
        from partman.migration.runner.online_steps import OnlineStep, Stepper
        from partman.migration.runner.step_output import StepOutput

        self._refuse_schema_operations()
        direction = "backwards" if backwards else "forwards"
        print(f"  - {self.migration_id} [online {direction}]...")
        run = project_engine(MigrationEngine).migration_run()
        migration = running_migration()
        assert migration is not None  # this one
        steps = self.steps(backwards=backwards)
        if self.preview:
            await self._require(run.raw.fetch, backwards)
            await self._run_statements(steps)
            return
        async with run.explaining("No step was run."):
            with run.remembering("SELECT"):
                await run.begin_nontransactional(migration, len(steps))
                await self._require(run.raw.fetch, backwards)
                stepper = await Stepper.prepare(run.session, migration)
        for number, statements in enumerate(steps, 1):
            step = OnlineStep.of(migration, number, statements)
            output = StepOutput(run.settings, f"{number}/{len(steps)}", step.title)
            async with run.explaining(lambda: stepper.outcome):
                with run.remembering(step.text):
                    said, outcome = await _reported(output, stepper.run(step, output))
            run.note(outcome)
            output.end(said)

    async def _require(self, fetch: Fetch, backwards: bool) -> None:
        requirements = self.requirements_of(backwards=backwards)
        if not self.preview:
            await refuse_violations(fetch, requirements, self.migration_id)
            return
        for requirement in requirements:
            print(f"\n-- Must return no rows: {requirement.rule}\n{requirement.query};")

    def _operations(self) -> list[object]:
        """Return Piccolo's schema operations and raw functions."""
        return [
            *self.add_tables, *self.drop_tables, *self.rename_tables, *self.change_table_schemas,
            *self.add_columns.add_columns, *self.drop_columns.drop_columns,
            *self.rename_columns.rename_columns, *self.alter_columns.alter_columns,
            *self.add_constraints.add_constraints, *self.drop_constraints.drop_constraints,
            *self.raw, *self.raw_backwards,
        ]  # fmt: skip

    def _refuse_done_in_sql(self) -> None:
        if self._done_in_sql:
            raise MigrationFailedError(
                f"{self.migration_id} uses done_in_sql() but is not online. Nothing was done. "
                "Call manager.online() in it."
            )

    def _refuse_backfills(self) -> None:
        tables = [
            part.table
            for sql in self.sql
            for part in (*sql.forwards, *sql.backwards)
            if isinstance(part, Backfill)
        ]
        if tables:
            raise MigrationFailedError(
                f"{self.migration_id} has a backfill of {tables[0]} but is not online. Nothing was "
                "done. Call manager.online() in it."
            )

    def _refuse_schema_operations(self) -> None:
        if len(self._operations()) > self._done_in_sql:
            raise MigrationFailedError(
                f"{self.migration_id} is online and has schema operations or raw functions, which "
                "cannot be resumed. Nothing was done. Move them into a migration of their own, or "
                "write them as SQL and declare them in manager.done_in_sql()."
            )

    async def _run_statements(self, steps: list[tuple[str | Backfill, ...]]) -> None:
        engine = project_engine(MigrationEngine)
        for statement in map(str, itertools.chain(*steps)):
            if self.preview:
                print(f"\n{inspect.cleandoc(statement).removesuffix(';')};")
            else:
                await engine.run_ddl(statement)


async def _reported(output: "StepOutput", done: Awaitable[T]) -> T:
    try:
        return await done
    except BaseException:
        output.end("failed")
        raise


def _steps(sql: list[Sql], backwards: bool) -> list[tuple[str | Backfill, ...]]:
    if backwards:
        return [each.backwards for each in reversed(sql) if each.backwards]
    return [each.forwards for each in sql if each.forwards]


def _statements(sql: str | list[str] | None) -> tuple[str, ...]:
    texts = [sql] if isinstance(sql, str) else sql or []
    return tuple(text for text in texts if text.strip())
