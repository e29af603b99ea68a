"""A random generator that draws whole numbers in one call.

A million deals take seventeen million draws. ``Random.randrange`` checks its arguments, and calls
another method, for each of them; the numbers are the same.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice(Random):
    """``below(n)`` draws what ``randrange(n)`` would, ``pick(all)`` what ``choice(all)`` would."""

    def below(self, number: int) -> int:
        """Return a number from 0 that is less than ``number``, which is at least 1."""
        bits = number.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= number:
            drawn = self.getrandbits(bits)
        return drawn

    def pick(self, sequence: Sequence[T]) -> T:
        """Return an element of a sequence, which is not empty."""
        number = len(sequence)
        bits = number.bit_length()
        drawn = self.getrandbits(bits)
        while drawn >= number:
            drawn = self.getrandbits(bits)
        return sequence[drawn]
