"""A service that serves a project: partman's tables, and an app with the test's migrations."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.browser.site import Site, serving
from tests.faults.processes import Zygote, forked_scripts
from tests.project import Project
from tests.support import ROOT, Database, execute

SECRET = "of 32 characters, at the very least"

_BOTH_APPS = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from partman.tables import TENANCY

DB = PartmanEngine(tenancy=TENANCY)
APP_REGISTRY = AppRegistry(apps=["partman.piccolo_app", "extra.piccolo_app"])
"""

_NAMED = ("UPDATE organizations SET name = 'Amber Channel Partners' WHERE subdomain = 'default'",)
_DESCRIPTIONS = {
    "2026-12-01": "region of a partner",
    "2026-12-02": "a partner's website is its own",
    "2026-12-03": "tier of a partner",
    "2026-12-04": "no region any more",
}
_RUNS = (
    "ALTER TABLE migration_history DISABLE TRIGGER USER",
    "UPDATE migration_history SET os_user = 'deploy', host = 'ci-runner-4',"
    " revision = '4be81f0c2a9d7e35', duration = id * interval '23 ms',"
    " started_at = timestamptz '2026-12-01 08:00+00' + id * interval '7 seconds'",
    "UPDATE migration_history SET started_at = '2026-12-04 09:12:41+00' WHERE outcome = 'failed'",
    "ALTER TABLE migration_history ENABLE TRIGGER USER",
)


@dataclass(frozen=True)
class ProjectSite:
    """The running service and its files."""

    project: Project
    site: Site

    def show_every_state(self, *, longest_names: bool = False) -> None:
        """Create applied, failed and pending migrations, and an extra column.

        ``longest_names``: also objects with the longest names that PostgreSQL has, and a run with
        a long error.
        """
        if longest_names:
            self._show_longest_names()
        write, add, drop = (
            self.project.write,
            "ALTER TABLE partners ADD",
            "ALTER TABLE partners DROP",
        )
        write("2026-12-01", [f"{add} region text"], [f"{drop} region"])
        key = "partners_website_key UNIQUE (website)"
        write(
            "2026-12-02", [f"{add} CONSTRAINT {key}"], [f"{drop} CONSTRAINT partners_website_key"]
        )
        write("2026-12-03", [f"{add} tier text"], [f"{drop} tier"])
        write("2026-12-04", [f"{drop} region"])
        assert self.project.forwards().code == 7, "two have the same website"
        execute(self.project.database.url, f"{add} legacy_code text")

    def _show_longest_names(self) -> None:
        """Create a table, and changes that are pending and made by hand."""
        name = "n" * 62
        table, key, policy = f"{name}t", f"{name}k", f"{name}p"
        self.project.write(
            "2026-11-30",
            [
                f"CREATE TABLE {table} ({name}i int PRIMARY KEY)",
                f"ALTER TABLE {table} ADD {key} int REFERENCES {table}",
            ],
            [f"DROP TABLE {table}"],
        )
        assert self.project.forwards().code == 0
        execute(
            self.project.database.url,
            f"INSERT INTO {table} VALUES (1)",
            f"ALTER TABLE {table} ADD {name}x text",
            f"CREATE POLICY {policy} ON {table}",
            "INSERT INTO migration_history (app, migration, direction, outcome, error, started_at,"
            " duration, os_user, host, revision, partman_version, piccolo_version) SELECT 'extra',"
            f" '2026-11-30', 'forwards', 'failed', repeat('{name}', 9), '2026-11-29', '1 s',"
            f" '{name}', '{name}', '{name}', '1', '1'",
        )
        pending = [
            f"ALTER TABLE {table} ADD CONSTRAINT {name}c CHECK ({key} > 0)",
            f"CREATE INDEX {name}y ON {table} ({key})",
            f"ALTER TABLE {table} DROP {key}",
        ]
        self.project.write("2026-12-03-" + "x" * 50, pending)


ProjectServing: TypeAlias = Callable[[Path, Database, Zygote], AbstractContextManager[ProjectSite]]
"""Serves a project in a folder for the duration of a block."""


@contextmanager
def serving_project(folder: Path, database: Database, zygote: Zygote) -> Iterator[ProjectSite]:
    """Serve the project for the duration of a block; the database has partman's tables already."""
    project = _create(folder, database, zygote)
    with serving(zygote, database, _environment(project)) as site:
        yield ProjectSite(project, site)


@contextmanager
def serving_project_fast(folder: Path, database: Database, zygote: Zygote) -> Iterator[ProjectSite]:
    """The same, with reports that are forked."""
    project = _create(folder, database, zygote)
    with _serving_with("forked_reports", project, zygote) as site:
        yield ProjectSite(project, site)


@contextmanager
def serving_for_pictures(folder: Path, database: Database, zygote: Zygote) -> Iterator[ProjectSite]:
    """Serve a project that always looks the same: its rows, its runs and its clock."""
    project = _create(folder, database, zygote)
    execute(database.url, *_NAMED)
    ProjectSite(project, Site("", database)).show_every_state()
    for migration, description in _DESCRIPTIONS.items():
        file = project.file(migration)
        file.write_text(file.read_text().replace('TION = ""', f'TION = "{description}"'))
    execute(database.url, *_RUNS)
    with _serving_with("fixed_clock", project, zygote) as site:
        yield ProjectSite(project, site)


def _serving_with(module: str, project: Project, zygote: Zygote) -> AbstractContextManager[Site]:
    """Run the service as a module of this folder does."""
    environment = _environment(project) | forked_scripts("service")
    command = ("python", "-m", f"tests.browser.{module}")
    return serving(zygote, project.database, environment, command)


def _create(folder: Path, database: Database, zygote: Zygote) -> Project:
    project = Project.create(folder, database, zygote)
    (folder / "extra_conf.py").write_text(_BOTH_APPS)
    return project


def _environment(project: Project) -> dict[str, str]:
    variables = project.environment | {"PARTMAN_SECRET": SECRET}
    return variables | {"PYTHONPATH": f"{ROOT}{os.pathsep}{project.folder}"}
