"""The environment in which each document is followed."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docs.following import Followed, copy_checkout, follow
from tests.docs.markdown import Document
from tests.faults.processes import zygote_of
from tests.support import run, temporary_database

ON_CALL = {"docs/runbook.md"}
"""For readers with a production database; all others are for readers without one."""
OF_ANOTHER_PROJECT = {"docs/your-project.md"}
"""Followed in an empty folder instead of a clone."""


def follow_document(document: Document, folder: Path) -> list[Followed]:
    """Follow the document in a temporary clone, on a temporary database."""
    checkout, scratch = folder / "partman", folder / "scratch"
    checkout.mkdir()
    scratch.mkdir()
    with ExitStack() as stack:
        if document.name in OF_ANOTHER_PROJECT:
            subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
            level = "library"
        else:
            copy_checkout(checkout)
            level = stack.enter_context(zygote_of(checkout))
        return follow(
            document.steps,
            level=level,
            folder=checkout,
            scratch=scratch,
            environment=stack.enter_context(_environment(document, checkout)),
        )


@contextmanager
def _environment(document: Document, checkout: Path) -> Iterator[Mapping[str, str]]:
    if document.name in ON_CALL:
        with temporary_database() as database:
            yield {"DATABASE_URL": database.url, "PARTMAN_ENV": "production"}
        return
    try:
        yield {}
    finally:
        run(
            *("partman", "server", "stop"),
            environment={"PYTHONPATH": str(checkout)},
            cwd=checkout,
            level="packages",
        )
