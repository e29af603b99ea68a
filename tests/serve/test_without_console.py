"""A project whose apps offer no console, or one that does not fit: probes, a reason, a refusal."""

import textwrap
from pathlib import Path

import pytest

from partman.errors import ExitCode
from tests.project import Project
from tests.serve.processes import serving
from tests.support import ROOT

PAGES = ("/", "/sign-in", "/password", "/console/", "/console/api/tables/", "/migrations")

_OFFER = """
from partman.apps import PartmanConfig
PARTMAN_CONFIG = PartmanConfig(console={console!r})
"""


def test_probes_are_answered_and_pages_say_why_there_are_none(
    project: Project, tmp_path: Path
) -> None:
    """In production, where a console would need a secret."""
    project.write("2026-01-01", ["CREATE TABLE one (id int)"])
    assert project.forwards().code == 0
    environment = project.environment | {"PYTHONPATH": f"{ROOT}:{project.folder}"}
    with serving(tmp_path, environment, level="library") as service:
        assert service.request("/health/live").status == 200
        assert service.request("/health/ready").status == 200
        assert "partman_ready 1.0" in service.request("/metrics").body
        for path in PAGES:
            answer = service.request(path)
            assert answer.status == 404
            assert "no app of the project offers a console" in answer.body
            assert "strict-transport-security" in answer.headers
        assert service.request("/sign-in", "POST").status == 404


def offer(project: Project, console: str, app: str = "extra") -> None:
    """Have an app of the project offer a console."""
    file = project.folder / app / "piccolo_app.py"
    file.write_text(file.read_text() + _OFFER.format(console=console))


def conf(project: Project, engine: str, *apps: str) -> None:
    (project.folder / "extra_conf.py").write_text(
        textwrap.dedent(f"""
            from piccolo.conf.apps import AppRegistry
            from partman.engine import PartmanEngine
            from partman.isolation import Roles, Tenancy

            DB = {engine}
            APP_REGISTRY = AppRegistry(apps={[f"{app}.piccolo_app" for app in apps]!r})
        """)
    )


OURS = "partman.accounts.console_config:CONSOLE"
TENANCY = "PartmanEngine(tenancy=Tenancy())"


@pytest.mark.parametrize(
    ("engine", "apps", "console", "says"),
    [
        (TENANCY, ("partman", "extra"), OURS, "More than one app offers a console: partman, extra"),
        ("PartmanEngine()", ("partman",), "", "the engine in piccolo_conf has no tenancy"),
        (
            "PartmanEngine(tenancy=Tenancy(roles=Roles(console=None)))",
            ("partman",),
            "",
            "has a tenancy without the role console",
        ),
        (TENANCY, ("extra",), "extra.console:CONSOLE", "there is no module 'extra.console'"),
        (TENANCY, ("extra",), "partman.errors:CONSOLE", "the module has no CONSOLE"),
        (TENANCY, ("extra",), "partman.errors", "not of the form module:attribute"),
        (TENANCY, ("extra",), ":CONSOLE", "not of the form module:attribute"),
        (TENANCY, ("extra",), "partman.errors:ExitCode", "a EnumType, not a ConsoleConfig"),
    ],
)
def test_a_console_that_does_not_fit_the_project_is_refused(
    project: Project, engine: str, apps: tuple[str, ...], console: str, says: str
) -> None:
    if console:
        offer(project, console)
    conf(project, engine, *apps)
    refused = project.partman("serve", "--port", "0", PARTMAN_SECRET="s" * 32)
    assert refused.code == ExitCode.SETTINGS, refused.output
    [line] = refused.output.splitlines()
    assert says in line
    assert "Nothing was" in line
