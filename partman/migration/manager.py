"""The MigrationManager that migrations with SQL of their own return."""

import contextlib
from dataclasses import dataclass, field

from piccolo.apps.migrations.auto.migration_manager import (
    MigrationManager as PiccoloMigrationManager,
)
from piccolo.engine import engine_finder


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

    def add_sql(
        self, forwards: str | list[str] | None, backwards: str | list[str] | None
    ) -> None:
        """Run SQL after the schema operations; going back, before them, last added first.

        Each string is one statement, and may hold any number of lines.
        """
        self.sql.append(Sql(_statements(forwards), _statements(backwards)))

    async def run(self, backwards: bool = False) -> None:
        """Run, or preview, the migration: all of it in one transaction."""
        engine = engine_finder()
        assert engine is not None
        transaction = engine.transaction() if self.wrap_in_transaction else contextlib.nullcontext()
        # Piccolo's run opens a transaction too, and joins this one.
        async with transaction:
            if backwards:
                for sql in reversed(self.sql):
                    await self._run_statements(sql.backwards)
            await super().run(backwards=backwards)
            if not backwards:
                for sql in self.sql:
                    await self._run_statements(sql.forwards)

    async def _run_statements(self, statements: tuple[str, ...]) -> None:
        engine = engine_finder()
        assert engine is not None
        for statement in statements:
            if self.preview:
                print(f"\n{statement};")  # noqa: T201
            else:
                await engine.run_ddl(statement)


def _statements(sql: str | list[str] | None) -> tuple[str, ...]:
    texts = [sql] if isinstance(sql, str) else sql or []
    return tuple(text.strip().removesuffix(";") for text in texts)
