"""A project of several Piccolo apps, with table classes and migrations from a test."""

import re
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import Process, Zygote
from tests.project import make_packages
from tests.support import Completed, Database

_CONF = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine

DB = PartmanEngine()
APP_REGISTRY = AppRegistry(apps={apps!r})
"""

_APP = """
from pathlib import Path

from piccolo.conf.apps import AppConfig, table_finder
from partman.apps import PartmanConfig

APP_CONFIG = AppConfig(
    app_name={name!r},
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=table_finder(["{name}.tables"], exclude_imported=True),
    migration_dependencies={needs!r},
)
PARTMAN_CONFIG = PartmanConfig(database_extras={database_extras!r})
"""

_TABLES = """
from piccolo.columns import *
from piccolo.columns.reference import LazyTableReference
from piccolo.table import Table

"""

_MIGRATION = """\
from partman.migration import MigrationManager

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="{app}", description=DESCRIPTION)
    for statement in {forwards!r}:
        manager.add_sql(forwards=statement, backwards=None)
    return manager
"""


@dataclass(frozen=True)
class SeveralApps:
    """A folder with apps, and the database of the project."""

    folder: Path
    database: Database
    zygote: Zygote

    def register(self, *apps: str) -> None:
        """Set ``APP_REGISTRY`` in this order; a name with a dot is in another package."""
        modules = [app if "." in app else f"{app}.piccolo_app" for app in apps]
        (self.folder / "__pycache__").mkdir(exist_ok=True)
        (self.folder / "several_conf.py").write_text(_CONF.format(apps=modules))

    def app(
        self,
        name: str,
        tables: str = "",
        *,
        needs: Sequence[str] = (),
        database_extras: Sequence[str] = (),
    ) -> None:
        """Write or replace an app; its migrations stay. ``needs`` are other apps."""
        app = self.folder / name
        shutil.rmtree(app / "__pycache__", ignore_errors=True)
        make_packages(app, self.migrations(name))
        (app / "tables.py").write_text(_TABLES + textwrap.dedent(tables))
        modules = [need if "." in need else f"{need}.piccolo_app" for need in needs]
        (app / "piccolo_app.py").write_text(
            _APP.format(name=name, needs=modules, database_extras=tuple(database_extras))
        )

    def migrations(self, app: str) -> Path:
        return self.folder / app / "piccolo_migrations"

    def write(self, app: str, migration: str, *forwards: str, stem: str | None = None) -> Path:
        """Write a migration of SQL."""
        file = self.migrations(app) / f"{stem or f'{app}_{migration}'}.py"
        file.write_text(_MIGRATION.format(id=migration, app=app, forwards=list(forwards)))
        return file

    def files(self, app: str) -> list[Path]:
        """The migration files of an app, oldest first."""
        found = [path for path in self.migrations(app).glob("*.py") if path.stem != "__init__"]
        return sorted(found, key=lambda path: self.id(path))

    def id(self, file: Path) -> str:
        found = re.search(r'^ID = "(.*)"', file.read_text(), re.MULTILINE)
        assert found
        return found[1]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database.url,
            "PARTMAN_ENV": "test",
            "PICCOLO_CONF": "several_conf",
            "PYTHONPATH": str(self.folder),
        }

    def partman(self, *arguments: str, **variables: str) -> Completed:
        return self._run("partman", *arguments, **variables)

    def piccolo(self, *arguments: str, **variables: str) -> Completed:
        return self._run("piccolo", "migrations", *arguments, **variables)

    def start(self, *command: str) -> Process:
        return self.zygote.start(*command, environment=self.environment)

    def _run(self, *command: str, **variables: str) -> Completed:
        return self.zygote.run(*command, environment=self.environment | variables)
