"""Standard output, the event loop of a command, and what it prints when it is stopped early."""

import io
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_ROLLED_BACK = "Uncommitted changes were rolled back. Show what is applied with: partman status"

INTERRUPTED = f"Interrupted. {_ROLLED_BACK}"
OUTPUT_CLOSED = f"Output pipe closed; the run was stopped. {_ROLLED_BACK}"


def accept_any_terminal() -> None:
    """Write characters that the terminal cannot show, such as Piccolo's emoji, as "?".

    Otherwise an encoding error would end a migration run.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def stop_writing() -> None:
    """Redirect standard output to /dev/null, so that Python's flush at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as ``asyncio.run()`` does, and return its result.

    asyncio.run() has signal.signal() put Ctrl-C back, which makes a text of the old handler, twice:
    of its task, and of all that the task returns. For 2,000 migrations that is half a second.
    """
    import asyncio  # not needed for --help

    result: list[T] = []

    async def keep() -> None:
        result.append(await main)

    asyncio.run(keep())
    return result[0]
