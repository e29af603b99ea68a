"""The MigrationManager that migrations with SQL of their own return."""

import contextlib
import inspect
from dataclasses import dataclass, field
from typing import Protocol, cast

from piccolo.apps.migrations.auto.migration_manager import (
    MigrationManager as PiccoloMigrationManager,
)
from piccolo.engine import engine_finder

from partman.errors import MigrationFailedError
from partman.migration.caller import Migration
from partman.migration.run import MigrationRun
from partman.migration.steps import Step, Stepper
from partman.piccolo_cli import presented


@dataclass(frozen=True)
class Sql:
    """Statements, and those that undo them."""

    forwards: tuple[str, ...]
    backwards: tuple[str, ...]


@dataclass
class MigrationManager(PiccoloMigrationManager):
    """Piccolo's MigrationManager, with statements that run after its schema operations.

    Piccolo's own ``add_raw`` runs before them, and a preview does not show it; so a table
    and the policies on it could not be made by one migration.
    """

    sql: list[Sql] = field(default_factory=list)
    is_online: bool = False

    def add_sql(self, forwards: str | list[str] | None, backwards: str | list[str] | None) -> None:
        """Run SQL after the schema operations; going back, before them, last added first.

        Each string is one statement, and may hold any number of lines.
        """
        self.sql.append(Sql(_statements(forwards), _statements(backwards)))

    def online(self) -> None:
        """Run the statements one by one outside a transaction, so that nobody waits for long.

        Each waits for its lock 100 ms at a time, and is recorded when it is done; a run that was
        killed goes on where it was. An online migration consists of ``add_sql`` alone.
        """
        self.is_online = True
        self.wrap_in_transaction = False

    async def run(self, backwards: bool = False) -> None:
        """Run, or preview, the migration: in one transaction, or step by step."""
        if self.is_online:
            with presented():
                await self._run_online(backwards)
            return
        engine = engine_finder()
        assert engine is not None
        transaction = engine.transaction() if self.wrap_in_transaction else contextlib.nullcontext()
        # Piccolo's run opens a transaction too, and joins this one.
        async with transaction:
            if backwards:
                await self._run_statements(self._statements(backwards))
            await super().run(backwards=backwards)
            if not backwards:
                await self._run_statements(self._statements(backwards))

    async def _run_online(self, backwards: bool) -> None:
        self._refuse_schema_operations()
        direction = "backwards" if backwards else "forwards"
        print(f"  - {self.migration_id} [online {direction}]...")
        statements = self._statements(backwards)
        if self.preview:
            await self._run_statements(statements)
            return
        run = cast("_Engine", engine_finder()).migration_run()
        migration = Migration(self.app_name, self.migration_id, backwards)
        run.unwrapped(migration)
        stepper = Stepper(run.raw, run.settings)
        for number, statement in enumerate(statements, 1):
            first_line = statement.splitlines()[0]
            print(f"    {number}/{len(statements)} {first_line} ... ", end="", flush=True)
            try:
                print(await stepper.run(Step(migration, number, statement)))
            except BaseException as error:
                print("failed")
                explained = await run.failed(error, statement)
                if explained is error:
                    raise
                raise explained from error

    def _refuse_schema_operations(self) -> None:
        if any(
            (
                self.add_tables, self.drop_tables, self.rename_tables, self.change_table_schemas,
                self.add_columns.add_columns, self.drop_columns.drop_columns,
                self.rename_columns.rename_columns, self.alter_columns.alter_columns,
                self.add_constraints.add_constraints, self.drop_constraints.drop_constraints,
                self.raw, self.raw_backwards,
            )
        ):  # fmt: skip
            raise MigrationFailedError(
                f"{self.migration_id} is online and has schema operations or raw functions, which "
                "cannot be resumed. Nothing was done. Move them into a migration of their own."
            )

    def _statements(self, backwards: bool) -> list[str]:
        if backwards:
            return [statement for sql in reversed(self.sql) for statement in sql.backwards]
        return [statement for sql in self.sql for statement in sql.forwards]

    async def _run_statements(self, statements: list[str]) -> None:
        engine = engine_finder()
        assert engine is not None
        for statement in statements:
            if self.preview:
                print(f"\n{statement};")
            else:
                await engine.run_ddl(statement)


class _Engine(Protocol):
    """The part of PartmanEngine that is needed here; it imports this package."""

    def migration_run(self) -> MigrationRun: ...


def _statements(sql: str | list[str] | None) -> tuple[str, ...]:
    texts = [sql] if isinstance(sql, str) else sql or []
    return tuple(inspect.cleandoc(text).removesuffix(";") for text in texts)
