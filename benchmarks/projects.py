"""Piccolo projects to compare: the same migrations, once with stock Piccolo, once with partman.

The stock ones import nothing of partman while they run, except the column types that the
project's first migration names. Where a migration calls ``add_sql``, they get a
MigrationManager that has it, and nothing else.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure import Case, run, run_for_output
from benchmarks.server import Server

STOCK_ENGINE = """\
import os
from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

# Without the extensions that Piccolo installs by default, which would add work.
DB = PostgresEngine(config={"dsn": os.environ["DATABASE_URL"]}, extensions=())
"""
PARTMAN_ENGINE = """\
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from partman.isolation import Roles, Tenancy

DB = PartmanEngine(
    tenancy=Tenancy(roles=Roles(operator="partman_operator", reports="partman_reports"))
)
"""
PLAIN_ENGINE = """\
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine

DB = PartmanEngine()
"""
UNGUARDED_ENGINE = """\
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from partman.isolation import Roles, Tenancy
from partman.migration.runner import guarded_transaction as transactions
from partman.migration.runner.guard import Outcome

class NoGuard(transactions.Guard):
    async def watch(self, statement, run):
        return await run()
    async def finish(self):
        return Outcome()

transactions.Guard = NoGuard
DB = PartmanEngine(
    tenancy=Tenancy(roles=Roles(operator="partman_operator", reports="partman_reports"))
)
"""
STOCK_MANAGER = '''\
from dataclasses import dataclass, field
from inspect import cleandoc

from piccolo.apps.migrations.auto.migration_manager import MigrationManager as Stock
from piccolo.engine import engine_finder


@dataclass
class MigrationManager(Stock):
    """add_sql for stock Piccolo: the SQL runs in the same transaction."""

    sql: list = field(default_factory=list)

    def add_sql(self, forwards, backwards):
        self.sql.append((forwards, backwards))

    async def run(self, backwards=False):
        engine = engine_finder()
        async with engine.transaction():
            if backwards:
                for _, statement in reversed(self.sql):
                    if statement:
                        await engine.run_ddl(cleandoc(statement))
            await super().run(backwards=backwards)
            if not backwards:
                for statement, _ in self.sql:
                    if statement:
                        await engine.run_ddl(cleandoc(statement))
'''
APP = """\
from pathlib import Path

from piccolo.conf.apps import AppConfig

APP_CONFIG = AppConfig(
    app_name="{name}",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes={tables},
)
"""
SMALL_MIGRATION = """\
from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Integer, Varchar

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = "table {number}"


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="{app}", description=DESCRIPTION)
    manager.add_table("Table{number}", tablename="table_{number}", schema=None)
    for name, kind in (("name", Varchar), ("amount", Integer)):
        manager.add_column(
            table_class_name="Table{number}",
            tablename="table_{number}",
            column_name=name,
            db_column_name=name,
            column_class=kind,
            params={{"null": True, "default": None}},
            schema=None,
        )
    return manager
"""
CLASS = """
class Table{number}(Table, tablename="table_{number}"):
    name = Varchar(null=True, default=None, index=True)
    amount = Integer(null=True, default=None)
    note = Text(null=True, default=None)
"""
CLASSES = """\
from piccolo.columns import Integer, Text, Varchar
from piccolo.table import Table
{classes}
TABLES = [{names}]
"""
TABLES_MIGRATION = """\
from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns import Integer, Text, Varchar

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="large", description=DESCRIPTION)
    for number in {numbers}:
        manager.add_table(f"Table{{number}}", tablename=f"table_{{number}}", schema=None)
        for name, kind in (("name", Varchar), ("amount", Integer), ("note", Text)):
            manager.add_column(
                table_class_name=f"Table{{number}}",
                tablename=f"table_{{number}}",
                column_name=name,
                db_column_name=name,
                column_class=kind,
                params={{"null": True, "default": None, "index": name == "name"}},
                schema=None,
            )
    return manager
"""
RAW_MIGRATION = """\
from partman.migration import MigrationManager

ID = "{id}"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="{app}", description=DESCRIPTION)
    manager.add_sql("{sql}", None)
    return manager
"""

_PICCOLO_OUTPUT = re.compile(
    r"^(\s*|-{10,}|\s+[A-Z_]+\s*|(👍|⏩|🚀).*|  - \S+ \[preview .*|ok! .*)$"
)


def script(name: str) -> str:
    """Return the path of a console script in the current environment."""
    return str(Path(sys.executable).parent / name)


FORWARDS = [script("piccolo"), "migrations", "forwards", "all"]
CHECK = [script("piccolo"), "migrations", "check"]


@dataclass(frozen=True)
class Project:
    """A directory with a ``piccolo_conf``, and the commands that run in it."""

    folder: Path
    server: Server

    def environment(self, database: str) -> Mapping[str, str]:
        """Return the environment of a command that runs in it on a database."""
        return {
            "DATABASE_URL": self.server.database_url(database),
            "PARTMAN_ENV": "development",
            "PYTHONPATH": str(self.folder),
            # Nothing else of the current environment.
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "PICCOLO_CONF": "piccolo_conf",
        }

    def migrate(self, database: str) -> None:
        """Run all migrations on a database."""
        run(FORWARDS, self.environment(database), self.folder)

    def add_pending(self) -> None:
        """Add a migration to a project of tables_project()."""
        sql = "ALTER TABLE table_1 ADD COLUMN later integer"
        text = RAW_MIGRATION.format(app="large", id="2026-02-01T00:00:00:000000", sql=sql)
        (self.folder / "large_app" / "piccolo_migrations" / "large_later.py").write_text(text)

    def preview(self, database: str, *arguments: str) -> str:
        """Return the SQL that Piccolo would run, for psql."""
        command = [script("piccolo"), "migrations", *arguments, "--preview"]
        output = run_for_output(command, self.environment(database), self.folder)
        return "\n".join(line for line in output.splitlines() if not _PICCOLO_OUTPUT.match(line))


def case(name: str, command: Sequence[str], project: Project, database: str) -> Case:
    """Return a case that runs in a project, on a database as it is."""
    return Case(name, command, database, project.environment(database), project.folder)


def fresh(name: str, command: Sequence[str], project: Project, template: str) -> Case:
    """Return a case that starts from a new copy of ``template`` each time."""
    in_work = case(name, command, project, "work")
    return replace(in_work, prepare=lambda: project.server.renew("work", template))


def story_project(folder: Path, server: Server, *, stock: bool) -> Project:
    """Write a project with those of partman's migrations that stock Piccolo can run.

    The later ones are online migrations, which stock Piccolo does not have.
    """
    migrations = _app(folder, "partman", "TABLES", "from partman.tables import TABLES\n")
    for path in (ROOT / "partman" / "piccolo_migrations").glob("*.py"):
        text = path.read_text("utf-8")
        if stock:
            text = text.replace("from partman.migration import", "from stock_manager import")
        if "manager.online()" not in text:
            (migrations / path.name).write_text(text, "utf-8")
    if stock:
        (folder / "stock_manager.py").write_text(STOCK_MANAGER)
    engine = STOCK_ENGINE if stock else PARTMAN_ENGINE
    return _project(folder, server, engine, ["partman_app.piccolo_app"])


def whole_project(folder: Path, server: Server) -> Project:
    """Write a project with all of partman's migrations."""
    return _project(folder, server, PARTMAN_ENGINE, ["partman.piccolo_app"])


def many_project(folder: Path, server: Server, count: int, *, stock: bool) -> Project:
    """Write a project with one app of many small migrations without SQL."""
    migrations = _app(folder, "many", "[]")
    for number, migration_id in enumerate(_ids(count), 1):
        text = SMALL_MIGRATION.format(app="many", id=migration_id, number=number)
        (migrations / f"many_{number:04}.py").write_text(text)
    engine = STOCK_ENGINE if stock else PARTMAN_ENGINE
    return _project(folder, server, engine, ["many_app.piccolo_app"])


def tables_project(folder: Path, server: Server, count: int) -> Project:
    """Write a project with so many table classes, and migrations of a hundred of them each."""
    migrations = _app(folder, "large", "TABLES", "from large_app.tables import TABLES\n")
    numbers = range(1, count + 1)
    classes = "\n".join(CLASS.format(number=number) for number in numbers)
    names = ", ".join(f"Table{number}" for number in numbers)
    (folder / "large_app" / "tables.py").write_text(CLASSES.format(classes=classes, names=names))
    parts = [numbers[first : first + 100] for first in range(0, count, 100)]
    for part, migration_id in zip(parts, _ids(len(parts)), strict=True):
        text = TABLES_MIGRATION.format(id=migration_id, numbers=part)
        (migrations / f"large_{part.start:04}.py").write_text(text)
    return _project(folder, server, PLAIN_ENGINE, ["large_app.piccolo_app"])


def raw_project(
    folder: Path, server: Server, statements: Mapping[str, str], *, guarded: bool
) -> Project:
    """Write a project of apps with one migration each, which runs one statement."""
    for (name, sql), migration_id in zip(statements.items(), _ids(len(statements)), strict=True):
        migrations = _app(folder, name, "[]")
        text = RAW_MIGRATION.format(app=name, id=migration_id, sql=sql)
        (migrations / f"{name}_1.py").write_text(text)
    engine = PARTMAN_ENGINE if guarded else UNGUARDED_ENGINE
    return _project(folder, server, engine, [f"{name}_app.piccolo_app" for name in statements])


def _project(folder: Path, server: Server, engine: str, apps: Sequence[str]) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    registry = f"\nAPP_REGISTRY = AppRegistry(apps={list(apps)!r})\n"
    (folder / "piccolo_conf.py").write_text(engine + registry)
    return Project(folder, server)


def _app(folder: Path, name: str, tables: str, imports: str = "") -> Path:
    """Write an app; return the directory for its migrations."""
    migrations = folder / f"{name}_app" / "piccolo_migrations"
    migrations.mkdir(parents=True)
    (migrations.parent / "__init__.py").touch()
    (migrations / "__init__.py").touch()
    (migrations.parent / "piccolo_app.py").write_text(
        imports + APP.format(name=name, tables=tables)
    )
    return migrations


def _ids(count: int) -> Iterator[str]:
    return (f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}:000000" for n in range(count))
