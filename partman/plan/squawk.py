"""squawk's findings, where it is installed: pip install 'partman[plan]'."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from partman.plan.model import Finding

ABSENT = "squawk is not installed, so there are no findings of it: pip install 'partman[plan]'"

# What a run does by itself: it sets the timeouts, and a migration is one commit, or resumed.
_DONE_BY_A_RUN = frozenset(
    (
        "assume-in-transaction",
        "prefer-robust-stmts",
        "require-lock-timeout",
        "require-statement-timeout",
        "require-timeout-settings",
        "transaction-nesting",
    )
)


def program() -> str | None:
    """Return where squawk is: beside this Python, or on the PATH; None if there is none."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.exists() else shutil.which("squawk")


def findings(squawk: str, statements: Sequence[str], *, server: int) -> tuple[Finding, ...]:
    """Return what squawk says of a migration's SQL; ``server`` is PostgreSQL's major version.

    A squawk that fails says nothing.
    """
    completed = subprocess.run(
        [squawk, "--reporter", "json", "--pg-version", f"{server}.0"],
        input=as_text(statements),
        text=True,
        capture_output=True,
        check=False,
    )
    try:
        found = json.loads(completed.stdout or "[]")
    except json.JSONDecodeError:
        return ()
    return tuple(
        Finding(one["line"] + 1, one["rule_name"], one["message"])
        for one in found
        if one["rule_name"] not in _DONE_BY_A_RUN
    )


def as_text(statements: Sequence[str]) -> str:
    """Return the statements as a file that psql would run."""
    return "".join(f"{statement.strip()};\n" for statement in statements)
