"""A separate project for a test: one Piccolo app, with the migrations that the test writes."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import shared
from tests.faults.processes import Zygote
from tests.support import Completed, Database, shared_database

APP = "extra"

_CONF = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine

DB = PartmanEngine()
APP_REGISTRY = AppRegistry(apps=["extra.piccolo_app"])
"""

_APP = """
from pathlib import Path
from piccolo.conf.apps import AppConfig

APP_CONFIG = AppConfig(
    app_name="extra", migrations_folder_path=Path(__file__).parent / "piccolo_migrations"
)
"""

_MIGRATION = """\
from partman.migration import MigrationManager

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="extra", description=DESCRIPTION)
    for statement in {forwards!r}:
        manager.add_sql(forwards=statement, backwards=None)
    for statement in reversed({backwards!r}):
        manager.add_sql(forwards=None, backwards=statement)
{more}
    return manager
"""


def make_packages(*folders: Path) -> None:
    """Make folders of modules, each with one for the compiled modules.

    A command that had to make that one would change a folder that it has read, and so keep nothing
    of what it builds for the next command.
    """
    for folder in folders:
        (folder / "__pycache__").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()


def row_of_a_run(migration: str, steps: int | None) -> str:
    """Return the SQL with which a run forwards records that it begins."""
    return (
        "INSERT INTO migration_history (app, migration, direction, outcome, started_at, steps,"
        " os_user, host, partman_version, piccolo_version)"
        f" VALUES ('{APP}', '{migration}', 'forwards', 'running', clock_timestamp(),"
        f" {steps or 'NULL'}, '', '', '', '')"
    )


@contextmanager
def applied_once(
    name: str, write: Callable[["Project"], None], folder: Path
) -> Iterator["Project"]:
    """A project with these migrations, applied; one worker of the run applies them for all tests.

    ``name`` is the database's, and no other test's.
    """

    def apply(database: Database) -> None:
        project = Project.create(shared.folder() / name, database, Zygote())
        write(project)
        completed = project.forwards()
        assert completed.code == 0, completed.output

    with shared_database(name, apply) as database:
        project = Project.create(folder, database, Zygote())
        write(project)
        yield project


@dataclass(frozen=True)
class Project:
    """A folder with an app, and the database of the project."""

    folder: Path
    database: Database
    zygote: Zygote

    @classmethod
    def create(cls, folder: Path, database: Database, zygote: Zygote) -> "Project":
        make_packages(folder / APP / "piccolo_migrations", folder / APP)
        (folder / "__pycache__").mkdir(exist_ok=True)
        (folder / "extra_conf.py").write_text(_CONF)
        (folder / APP / "piccolo_app.py").write_text(_APP)
        return cls(folder, database, zygote)

    @property
    def environment(self) -> dict[str, str]:
        """Production, because it is the strictest environment."""
        return {
            "DATABASE_URL": self.database.url,
            "PARTMAN_ENV": "production",
            "PICCOLO_CONF": "extra_conf",
            "PYTHONPATH": str(self.folder),
        }

    def register(self, *apps: str) -> None:
        """Register these apps in the conf module, in this order."""
        modules = [f"{app}.piccolo_app" for app in apps]
        conf = _CONF.replace('["extra.piccolo_app"]', repr(modules))
        (self.folder / "extra_conf.py").write_text(conf)

    def configure(self, arguments: str) -> None:
        """Write these arguments of the engine into the conf module."""
        conf = self.folder / "extra_conf.py"
        text = conf.read_text()
        assert text.count("PartmanEngine()") == 1
        conf.write_text(text.replace("PartmanEngine()", f"PartmanEngine({arguments})"))

    def add_app(self, name: str, needed: Sequence[str] = ()) -> Path:
        """Write an app that depends on others; return the folder of its migrations."""
        migrations = self.folder / name / "piccolo_migrations"
        make_packages(migrations)
        (migrations.parent / "__pycache__").mkdir()
        dependencies = [f"{app}.piccolo_app" for app in needed]
        (migrations.parent / "piccolo_app.py").write_text(
            _APP.replace('"extra", ', f'"{name}", migration_dependencies={dependencies}, ')
        )
        return migrations

    def write_in(
        self, app: str, migration: str, forwards: Sequence[str], backwards: Sequence[str] = ()
    ) -> Path:
        """Write a migration of one of several apps."""
        file = self.folder / app / "piccolo_migrations" / f"{app}_{migration}.py"
        text = _MIGRATION.format(
            id=migration, forwards=list(forwards), backwards=list(backwards), more=""
        )
        file.write_text(text.replace('app_name="extra"', 'app_name=""'))
        return file

    def file(self, migration: str) -> Path:
        return self.folder / APP / "piccolo_migrations" / f"extra_{migration}.py"

    def write(
        self,
        migration: str,
        forwards: Sequence[str],
        backwards: Sequence[str] = (),
        more: str = "",
    ) -> Path:
        """Write a migration; ``more`` is Python code that may use ``manager``."""
        file = self.file(migration)
        file.write_text(
            _MIGRATION.format(
                id=migration,
                forwards=list(forwards),
                backwards=list(backwards),
                more=textwrap.indent(textwrap.dedent(more), "    "),
            )
        )
        return file

    def piccolo(self, *arguments: str, **variables: str) -> Completed:
        return self._run("piccolo", "migrations", *arguments, **variables)

    def forwards(self, **variables: str) -> Completed:
        return self.piccolo("forwards", "all", **variables)

    def backwards(self, **variables: str) -> Completed:
        return self.piccolo("backwards", APP, "--auto_agree", **variables)

    def partman(self, *arguments: str, **variables: str) -> Completed:
        return self._run("partman", *arguments, **variables)

    def _run(self, *command: str, **variables: str) -> Completed:
        return self.zygote.run(*command, environment=self.environment | variables)
