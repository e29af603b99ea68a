"""Print a step of an online migration: what it is, what it waits for, what became of it."""

import logging
from time import monotonic

from partman.progress import INTERVAL, StatusLine, is_terminal
from partman.settings import LogFormat, Settings

logger = logging.getLogger("partman.run")


class StepOutput:
    """The lines of one step.

    What is said meanwhile goes to the log. On a terminal a line of progress is rewritten.
    """

    def __init__(self, settings: Settings, label: str, title: str) -> None:
        self._label = label
        self._rewrites = settings.log_format is LogFormat.HUMAN and is_terminal()
        self._is_interrupted = False
        self._line = StatusLine()
        self._next = monotonic() + INTERVAL
        print(f"    {label} {title} ... ", end="", flush=True)

    def say(self, text: str) -> None:
        """Write a line into the log."""
        self._interrupt()
        logger.info("%s", text)

    def progress(self, text: str) -> None:
        """Write how far the step is: over the line before, or into the log from time to time."""
        if self._rewrites:
            self._interrupt()
            self._line.write(f"    {text}")
        elif monotonic() >= self._next:
            self._next = monotonic() + INTERVAL
            self.say(text)

    def end(self, what: str) -> None:
        """Write what became of the step."""
        is_interrupted = self._is_interrupted
        self._line.erase()
        print(f"    {self._label} {what}" if is_interrupted else what, flush=is_interrupted)

    def _interrupt(self) -> None:
        """Begin a line, if the step's own is not ended, or erase the last progress."""
        self._line.erase()
        if not self._is_interrupted:
            self._is_interrupted = True
            print(flush=True)
