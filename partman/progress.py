"""How far something long is: one line that is rewritten on a terminal, few lines in a log."""

import logging
import os
import shutil
import sys
import threading
from time import monotonic
from types import TracebackType

from partman.wording import counted, in_seconds

logger = logging.getLogger("partman.progress")

INTERVAL = 10.0
"""Seconds between two lines, where lines cannot be rewritten."""
_FIRST = 2.0
"""Seconds before the first line on a terminal: most commands have ended by then."""
_REWRITE = 0.25
_TELLING = 1.0
"""Seconds before a speed means something."""
_ERASE = "\r\x1b[2K"


class Pace:
    """How fast a number grows, and how long the rest takes at this speed."""

    def __init__(self, done: int = 0) -> None:
        """``done``: what was done before, at an unknown speed."""
        self._first, self._began = done, monotonic()

    def told(self, done: int, total: int | None, noun: str) -> str:
        """Return it in words: ``, 1,200 rows/s, 3 min 2 s left``; nothing where it is unknown."""
        seconds, number = monotonic() - self._began, done - self._first
        if seconds < _TELLING or number <= 0:
            return ""
        rate = number / seconds
        said = f", {counted(round(rate), noun)}/s" if rate >= 1 else ""
        if total is not None and total > done:
            said += f", {in_seconds((total - done) / rate)} left"
        return said


class StatusLine:
    """A line on standard error that the next one takes the place of."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._is_written = False

    def write(self, text: str) -> None:
        """Write it over the last one, cut to the terminal."""
        self.erase()
        width = shutil.get_terminal_size().columns - 1
        print(text[:width], end="", file=sys.stderr, flush=True)
        self._is_written = True

    def erase(self) -> None:
        """Leave the line empty, for whatever is printed next."""
        if self._is_written:
            self._is_written = False
            print(_ERASE, end="", file=sys.stderr, flush=True)


class Progress:
    """What is being done, for how long, how fast, and how long it still takes.

    On a terminal from the third second on; in a log every ten seconds. Nothing of it stays on a
    terminal. Another thread writes, so that the work need not. ``PARTMAN_PROGRESS=off``: nothing.
    """

    def __init__(self, what: str, noun: str = "", total: int | None = None) -> None:
        """``noun`` names what is counted; ``total`` is how many there are, if that is known."""
        self._what, self._noun, self._total = what, noun, total
        self._done = 0
        self._began, self._pace = monotonic(), Pace()
        self._line = StatusLine() if is_terminal() else None
        self._writes = os.environ.get("PARTMAN_PROGRESS", "").lower() != "off"
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        if self._line:
            for handler in logging.getLogger("partman").handlers:
                handler.addFilter(self._make_room)
        if self._writes:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._writes:
            self._thread.join()
        if self._line:
            self._line.erase()
            for handler in logging.getLogger("partman").handlers:
                handler.removeFilter(self._make_room)

    def say(self, what: str) -> None:
        """Say what is being done now."""
        self._what = what

    def advance(self, what: str, number: int = 1) -> None:
        """Say what is being done now, and that so many more are done."""
        self._what, self._done = what, self._done + number

    def __str__(self) -> str:
        said = self._what
        if self._done:
            of = f" of {self._total:,}" if self._total is not None else ""
            said += f": {self._done:,}{of} {self._noun}{'' if self._done == 1 and not of else 's'}"
            said += self._pace.told(self._done, self._total, self._noun)
        return f"{said} ({in_seconds(round(monotonic() - self._began, 1))})"

    def _tell(self) -> None:
        wait = _FIRST if self._line else INTERVAL
        while not self._ended.wait(wait):
            with self._lock:
                if self._line is None:
                    logger.info("%s", self)
                else:
                    self._line.write(str(self))
                    wait = _REWRITE

    def _make_room(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 -- logging asks so
        with self._lock:
            if self._line:
                self._line.erase()
        return True


def is_terminal() -> bool:
    """Whether progress can be rewritten."""
    return sys.stderr is not None and sys.stderr.isatty()
