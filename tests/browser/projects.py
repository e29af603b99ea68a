"""A service that serves a project: partman's tables, and an app with the test's own migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.site import Site, serving
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import Database, execute

SECRET = "of 32 characters, at the very least"

_BOTH_APPS = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine

DB = PartmanEngine()
APP_REGISTRY = AppRegistry(apps=["partman.piccolo_app", "extra.piccolo_app"])
"""


@dataclass(frozen=True)
class ProjectSite:
    """What is served, and from which files."""

    project: Project
    site: Site

    def show_every_state(self) -> None:
        """Have migrations that are applied, failed and pending, and a column too many."""
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


@contextmanager
def serving_project(
    folder: Path, database: Database, zygote: Zygote, command: str = "partman"
) -> Iterator[ProjectSite]:
    """Serve it for the duration of a block; the database has partman's tables already."""
    project = Project.create(folder, database, zygote)
    (folder / "extra_conf.py").write_text(_BOTH_APPS)
    environment = {**project.environment, "PARTMAN_SECRET": SECRET}
    with serving(zygote, database, environment) as site:
        yield ProjectSite(project, site)
