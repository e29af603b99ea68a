"""Print what Piccolo says of a run once, and not again for each attempt."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

_BANNER = ("\n ", "-----", "👍", "⏩", "🚀")
"""What Piccolo's heading of an app and its counts of migrations begin with."""


class _Filter:
    """Passes on what is printed, except banners that an earlier attempt has printed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: set[str] = set()
        self._now: set[str] = set()
        self._drops_end = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, which is all that a call of print() prints, or the end of its line."""
        drops_end, self._drops_end = self._drops_end, False
        if text == "\n" and drops_end:
            return 1
        if text.startswith(_BANNER):
            if text in self._before:
                self._drops_end = True
                return len(text)
            self._now.add(text)
        return self._stream.write(text)

    def next_attempt(self) -> None:
        """From now on, drop what was printed until now."""
        self._before |= self._now


@contextlib.contextmanager
def without_repetition() -> Iterator[Callable[[], None]]:
    """Print banners once for all attempts in a block; yield what to call between two attempts."""
    if sys.stdout is None:
        yield lambda: None
        return
    once = _Filter(sys.stdout)
    with contextlib.redirect_stdout(once):
        yield once.next_attempt
