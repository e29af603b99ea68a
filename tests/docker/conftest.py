"""Real containers, for the tests marked ``docker`` (make docker-test)."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.docker import base_images
from tests.docker.deployment import Deployment
from tests.docker.engine import Engine, NoEngineError, running_engine

Deploy = Callable[..., Deployment]
Report = Callable[[str], None]

_REPORTED: list[str] = []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _REPORTED:
        terminalreporter.write_line(f"containers: {line}")


@pytest.fixture(scope="session")
def report() -> Report:
    """Add a line to what is shown at the end of the run."""
    return _REPORTED.append


@pytest.fixture(scope="session")
def engine(report: Report) -> Iterator[Engine]:
    """An engine that has the base images, or else a loud skip."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(running_engine())
            stand_ins = base_images.provide(running)
        except NoEngineError as missing:
            report(f"NOTHING WAS RUN: {missing}")
            pytest.skip(str(missing))
        version = running.succeed("version", "--format", "{{.Server.Version}}")
        report(f"Docker {version}, {' '.join(running.compose_command)}")
        for name in stand_ins:
            report(f"{name} is a STAND-IN, made here: no registry can be reached")
        yield running


@pytest.fixture
def deploy(engine: Engine, tmp_path: Path) -> Iterator[Deploy]:
    """Copy the project and fill in ``docker/.env``; everything is removed afterwards."""
    with ExitStack() as stack:

        def create(**settings: str) -> Deployment:
            name = f"partman-test-{uuid.uuid4().hex[:8]}"
            deployment = Deployment.create(tmp_path / name, engine, name, **settings)
            stack.callback(deployment.remove)
            return deployment

        yield create
