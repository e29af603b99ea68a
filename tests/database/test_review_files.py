"""The action for GitHub, the fragment for GitLab and the hooks: what they run is run here."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from partman.database import embedded
from tests.database.test_plan_review import branch, git
from tests.environment import ROOT, clean_environment
from tests.faults.processes import forked_scripts
from tests.project import Project

__all__ = ["branch"]  # a fixture

pytestmark = pytest.mark.same_on_every_version

ACTION = ROOT / ".github/actions/partman-plan"
MARK = "<!-- partman plan -->"


class GitHub:
    """What GitHub's API has of one pull request's comments, on a port of its own."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = int(self.path.rpartition("page=")[2])
                self._answer(outer.comments[(page - 1) * 100 : page * 100])

            def do_POST(self) -> None:
                outer.comments.append({"id": len(outer.comments), **self._content()})
                self._answer(outer.comments[-1])

            def do_PATCH(self) -> None:
                comment = outer.comments[int(self.path.rpartition("/")[2])]
                comment |= self._content()
                self._answer(comment)

            def _content(self) -> dict[str, Any]:
                found: dict[str, Any] = json.loads(
                    self.rfile.read(int(self.headers["Content-Length"]))
                )
                return found

            def _answer(self, content: Any) -> None:
                outer.requests.append(f"{self.command} {self.path}")
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.environment = {
            "GITHUB_API_URL": f"http://127.0.0.1:{self._server.server_port}",
            "GITHUB_REPOSITORY": "ada/shop",
            "GITHUB_TOKEN": "secret",
            "PULL_REQUEST": "7",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    yield server
    server.close()


def comment(github: GitHub, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ACTION / "comment.py"), str(file)],
        env=os.environ | github.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_plan_is_one_comment_that_is_updated(github: GitHub, tmp_path: Path) -> None:
    github.comments = [{"id": n, "body": "Looks good"} for n in range(150)]
    file = tmp_path / "plan.md"
    file.write_text(f"{MARK}\nfirst")
    assert comment(github, file).returncode == 0
    assert github.comments[150]["body"] == f"{MARK}\nfirst"
    github.comments.append({"id": 151, "body": "Thanks"})
    file.write_text(f"{MARK}\nsecond" + "x" * 70_000)
    assert comment(github, file).returncode == 0
    assert len(github.comments) == 152
    body = github.comments[150]["body"]
    assert body.startswith(f"{MARK}\nsecond")
    assert len(body) == 65_536
    assert body.endswith("in the summary of the check.*\n")
    assert all(" /repos/ada/shop/issues/" in each for each in github.requests)


def test_a_missing_permission_is_a_line(github: GitHub, tmp_path: Path) -> None:
    file = tmp_path / "plan.md"
    file.write_text(MARK)
    github.status = 403
    ended = comment(github, file)
    assert ended.returncode == 1
    assert "pull-requests: write" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


def test_without_a_plan_nothing_is_asked(github: GitHub, tmp_path: Path) -> None:
    assert comment(github, tmp_path / "none.md").returncode == 0
    assert github.requests == []


def _run(project: Project, text: str, installed: Path, **variables: str) -> tuple[int, str]:
    environment = clean_environment(
        PICCOLO_CONF=project.environment["PICCOLO_CONF"],
        PYTHONPATH=project.environment["PYTHONPATH"],
        PARTMAN_DATA_DIR=str(installed),
        **forked_scripts("library"),
        **variables,
    )
    ended = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],  # as GitHub does
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def data(installed: Path) -> Iterator[Path]:
    """The folder of a server, which the commands start for their scratch databases."""
    yield installed
    embedded.stop(installed)


@pytest.fixture
def changed(branch: Project) -> Project:
    """A branch that adds a migration and drops a table."""
    branch.write("2", ["DROP TABLE t"])
    return branch


def test_the_action_annotates_and_summarizes(changed: Project, data: Path, tmp_path: Path) -> None:
    steps = YAML(typ="safe").load(ACTION / "action.yml")["runs"]["steps"]
    variables = {
        "BASE": "main",
        "COMMAND": "partman",
        "FAIL_ON": "loses-data",
        "SUMMARY": str(tmp_path / "plan.md"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    assert {*steps[0]["env"]} == {*variables} - {"GITHUB_STEP_SUMMARY"}
    code, output = _run(changed, steps[0]["run"], data, **variables)
    assert code == 1, output
    assert "::error file=extra/piccolo_migrations/extra_2.py,line=" in output
    assert (tmp_path / "summary.md").read_text() == (tmp_path / "plan.md").read_text()
    assert (tmp_path / "plan.md").read_text().startswith(MARK)


def test_gitlab_and_the_hooks_plan_too(changed: Project, data: Path) -> None:
    job = YAML(typ="safe").load(ROOT / ".gitlab/partman-plan.yml")["partman plan"]
    [install, command] = job["script"]
    assert install == "pip install 'partman[embedded,plan]'"
    code, output = _run(changed, command, data, CI_MERGE_REQUEST_DIFF_BASE_SHA="main")
    assert code == 1, output
    assert "loses data" in output
    assert (changed.folder / job["artifacts"]["paths"][0]).exists()

    hooks = {each["id"]: each for each in YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")}
    git(changed.folder, "update-ref", "refs/remotes/origin/main", "main")
    code, output = _run(changed, hooks["partman-landed"]["entry"], data)
    assert code == 0, output
    changed.write("1", ["CREATE TABLE edited ()"])
    code, output = _run(changed, hooks["partman-landed"]["entry"], data)
    assert code == 10, output
    assert "extra_1.py was edited since origin/main" in output
    code, output = _run(changed, f"{hooks['partman-check']['entry']} --rules", data)
    assert code == 0, output
