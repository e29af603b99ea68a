"""A project in production that is migrated first by Piccolo's own engine, then by partman's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import shared
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import Completed, Database, query, shared_database

_CONF = """
import os

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

DB = PostgresEngine(config={"dsn": os.environ["DATABASE_URL"]})
from extra_conf import APP_REGISTRY
"""

_MIGRATION = """\
from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


class RawTable(Table):
    pass


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="", description=DESCRIPTION)

    async def run():
        await RawTable.raw({forwards!r})

    async def run_backwards():
        await RawTable.raw({backwards!r})

    manager.add_raw(run)
    manager.add_raw_backwards(run_backwards)
    return manager
"""


@dataclass(frozen=True)
class StockProject:
    """The project, with migrations in Piccolo's own form."""

    project: Project

    @classmethod
    def create(cls, project: Project) -> "StockProject":
        (project.folder / "stock_conf.py").write_text(_CONF)
        return cls(project)

    def write(self, migration: str, forwards: str, backwards: str = "", app: str = "extra") -> Path:
        file = self.project.folder / app / "piccolo_migrations" / f"{app}_{migration}.py"
        file.write_text(_MIGRATION.format(id=migration, forwards=forwards, backwards=backwards))
        return file

    def forwards(self, *arguments: str) -> None:
        """Run migrations on Piccolo's engine."""
        to_run = arguments or ("all",)
        ran = self.project.piccolo("forwards", *to_run, PICCOLO_CONF="stock_conf")
        assert ran.code == 0, ran.output

    def adopt(self, *arguments: str) -> Completed:
        return self.project.partman("adopt", *arguments)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in query(self.project.database.url, sql)]

    @property
    def ledger(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT app_name, name, ran_on FROM migration ORDER BY id")

    @property
    def history(self) -> list[tuple[Any, ...]]:
        """Return app, migration and direction; nothing without a history."""
        if self.rows("SELECT to_regclass('migration_history')") == [(None,)]:
            return []
        return self.rows("SELECT app, migration, direction FROM migration_history ORDER BY id")

    def is_clean(self) -> None:
        """Check that there are no warnings."""
        status, migrated = self.project.partman("status"), self.project.partman("migrate")
        assert (status.code, migrated.code) == (0, 0), status.output + migrated.output
        assert "Note:" not in status.stdout
        assert "WARNING" not in migrated.stderr, migrated.stderr
        assert "Nothing to do" in migrated.output
        drift = self.project.partman("drift")
        assert drift.code == 0, drift.output
        assert "no difference" in drift.stdout
        assert "Note:" not in drift.stdout


@contextmanager
def applied_by_stock(
    name: str, write: Callable[[StockProject], None], folder: Path | None = None
) -> Iterator[StockProject]:
    """A project whose migrations are applied, by one worker of the run for all tests.

    Without a ``folder`` of its own it has the files that the others have, which it may not change:
    so its commands use what earlier ones have built of them. ``name`` is the database's.
    """
    files = shared.folder() / name

    def apply(database: Database) -> None:
        stock = StockProject.create(Project.create(files, database, Zygote()))
        write(stock)
        stock.forwards()

    with shared_database(name, apply) as database:
        if folder is None:
            yield StockProject(Project(files, database, Zygote()))
        else:
            stock = StockProject.create(Project.create(folder, database, Zygote()))
            write(stock)
            yield stock
