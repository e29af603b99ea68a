"""The environment in which each document is followed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from partman.database import embedded
from tests import shared
from tests.docs.following import Followed, copy_checkout, follow, reader_environment
from tests.docs.markdown import Document, Step
from tests.faults.processes import zygote_of
from tests.servers import copied, stopped_server
from tests.support import run, temporary_database

ON_CALL = {"docs/runbook.md"}
"""For readers with a production database; all others are for readers without one."""
OF_ANOTHER_PROJECT = {"docs/your-project.md"}
"""Followed in an empty folder instead of a clone."""
INSTALLS_THE_SERVER = {"docs/getting-started.md"}
"""Its commands install the embedded server; for all others there is one, which they start."""

_BEGINNING = {"partman migrate", "partman seed dev"}
"""What most documents do first where no reader sees it: its result is copied."""


@dataclass(frozen=True)
class Clone:
    """A reader's clone."""

    folder: Path
    level: str
    """The level of its zygote, which has imported it."""
    git: Path
    """Its ``.git`` as it was at first."""

    def restore(self) -> None:
        """Undo what a document did, also to the branches and the settings of git."""
        embedded.stop(self.folder / ".partman")
        shutil.rmtree(self.folder / ".git")
        shutil.copytree(self.git, self.folder / ".git")
        for undo in ("reset --quiet --hard", "clean --quiet -ffdx --exclude=__pycache__"):
            subprocess.run(["git", "-C", str(self.folder), *undo.split()], check=True)


@contextmanager
def new_clone(folder: Path) -> Iterator[Clone]:
    """Make a clone in a folder, for several documents one after the other."""
    checkout, git = folder / "partman", folder / "git"
    checkout.mkdir()
    copy_checkout(checkout)
    shutil.copytree(checkout / ".git", git)
    with zygote_of(checkout, "commands") as level:
        yield Clone(checkout, level, git)


def follow_document(document: Document, clone: Clone, scratch: Path) -> list[Followed]:
    """Follow the document in the clone, on a temporary database; restore the clone."""
    if document.name in OF_ANOTHER_PROJECT:
        with _another_project(scratch) as folder:
            return follow(
                document.steps, level="library", folder=folder, scratch=scratch, environment={}
            )
    steps = document.steps
    try:
        if document.name in ON_CALL:
            with temporary_database() as database:
                environment = {"DATABASE_URL": database.url, "PARTMAN_ENV": "production"}
                return _follow(steps, clone, scratch, environment)
        begun = tuple(each.script for each in takewhile(_is_a_beginning, steps))
        if document.name not in INSTALLS_THE_SERVER:
            copied(_server_after(begun, clone), clone.folder / ".partman")
        return [Followed(0, "") for _ in begun] + _follow(steps[len(begun) :], clone, scratch, {})
    finally:
        clone.restore()


def _follow(
    steps: list[Step], clone: Clone, scratch: Path, environment: Mapping[str, str]
) -> list[Followed]:
    return follow(
        steps, level=clone.level, folder=clone.folder, scratch=scratch, environment=environment
    )


def _is_a_beginning(step: Step) -> bool:
    return step.output is None and step.script in _BEGINNING


def _server_after(commands: tuple[str, ...], clone: Clone) -> Path:
    """Return a folder with a stopped server of a reader, made once for all workers of the run."""
    if not commands:
        return stopped_server()
    *before, command = commands

    def make() -> str:
        folder = Path(tempfile.mkdtemp(dir=shared.folder()))
        copied(_server_after(tuple(before), clone), folder)
        environment = reader_environment(clone.folder, clone.level)
        done = run(
            *command.split(),
            environment=environment | {"PARTMAN_DATA_DIR": str(folder)},
            cwd=clone.folder,
            level=clone.level,
        )
        assert done.code == 0, done.output
        embedded.stop(folder)
        return str(folder)

    return Path(shared.once(f"a reader's server after {' and '.join(commands)}", make))


@contextmanager
def _another_project(scratch: Path) -> Iterator[Path]:
    folder = scratch.with_name("partman")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    copied(stopped_server(), folder / ".partman")
    try:
        yield folder
    finally:
        embedded.stop(folder / ".partman")
