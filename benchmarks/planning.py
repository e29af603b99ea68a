"""Measure how planning grows with the number of objects.

    python -m benchmarks.planning

Plans the missing indexes of 1,000 and of 4,000 objects in turn, and prints the ratio of the
medians: 4 is linear, 16 is quadratic.
"""

import time
from statistics import median

from benchmarks.large_catalog import large
from partman.catalog.ddl.remedy import plan

_OBJECTS_OF_A_TABLE = 10
_ROUNDS = 5


def _seconds(objects: int) -> float:
    tables = objects // _OBJECTS_OF_A_TABLE
    expected, found = large(tables), large(tables, indexed=False)
    start = time.perf_counter()
    plan(expected, found)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print the ratio."""
    rounds = [(_seconds(1000), _seconds(4000)) for _ in range(_ROUNDS)]
    small, large_one = (median(each[side] for each in rounds) for side in (0, 1))
    print(f"1,000 objects: {small:.2f} s; 4,000: {large_one:.2f} s; ratio {large_one / small:.1f}")


if __name__ == "__main__":
    main()
