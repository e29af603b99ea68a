"""Pauses between attempts: they grow, and vary so that two waiting processes do not collide."""

import asyncio
import random
from collections.abc import Iterator


def pauses(first: float, longest: float, *, growth: float = 1.5) -> Iterator[float]:
    """Yield an endless series of pauses, in seconds, from ``first`` up to ``longest``.

    Each is ``growth`` times the one before, shortened at random by up to a half.
    """
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 -- no secret
        pause = min(pause * growth, longest)


class Patience:
    """Pauses between attempts, up to a total of ``seconds``."""

    def __init__(self, seconds: float, *, first: float, longest: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._seconds = seconds
        self._pauses = pauses(first, longest)

    @property
    def waited(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    @property
    def left(self) -> float:
        """Seconds that are left; zero or negative when the time is up."""
        return self._seconds - self.waited

    async def pause(self) -> bool:
        """Wait for the next attempt; return at once, with False, when the time is up."""
        if self.left <= 0:
            return False
        await asyncio.sleep(min(next(self._pauses), self.left))
        return True
