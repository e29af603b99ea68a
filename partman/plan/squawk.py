"""Run squawk, a linter for migrations, if it is installed: pip install 'partman[plan]'."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from partman.plan.model import Finding

NOT_INSTALLED = (
    "squawk is not installed; its checks were skipped. Install it with: pip install 'partman[plan]'"
)

# A run sets the timeouts itself, and a migration is one commit, or is resumed at its step.
_IRRELEVANT_RULES = frozenset(
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
    """Return squawk's path, next to this Python or on the PATH; None if it is not installed."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.exists() else shutil.which("squawk")


def findings(squawk: str, statements: Sequence[str], *, server: int) -> tuple[Finding, ...]:
    """Return squawk's findings for a migration's SQL; ``server`` is PostgreSQL's major version.

    Returns none if squawk fails.
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
        Finding(finding["line"] + 1, finding["rule_name"], finding["message"])
        for finding in found
        if finding["rule_name"] not in _IRRELEVANT_RULES
    )


def as_text(statements: Sequence[str]) -> str:
    """Return the statements as a script for psql."""
    return "".join(f"{statement.strip()};\n" for statement in statements)
