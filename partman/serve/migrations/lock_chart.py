"""Which lock a migration holds from which statement on: the rows of a chart.

All of it from a plan's JSON, because the plan was made in another process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from partman.plan.model import BLOCKS, MODES

_HARMLESS = "ACCESS SHARE"
"""Every query takes it."""


@dataclass(frozen=True)
class HeldLock:
    """A lock, from the statement that takes it to the end of that statement's transaction."""

    on: str
    """The table, or an index of it."""
    mode: str
    blocks: str
    """What waits for it: ``reads, writes, DDL``."""
    first: int
    """The number of the statement that takes it, from 1."""
    last: int
    """The number of the last statement of its transaction."""
    seconds: float
    """How long these statements took together, without rows."""
    work: tuple[str, ...]
    """What is done meanwhile that takes longer the more rows there are."""

    @property
    def tone(self) -> str:
        """What waits at worst: ``reads``, ``writes`` or ``ddl``."""
        return next((each for each in ("reads", "writes") if each in self.blocks), "ddl")

    @property
    def number(self) -> int:
        """Over how many statements it is held."""
        return self.last - self.first + 1


def held_locks(statements: Sequence[Mapping[str, Any]]) -> list[HeldLock]:
    """Return the locks that others could notice, strongest first where they begin together."""
    found = []
    for number, statement in enumerate(statements, 1):
        last = _last_of_transaction(statements, number)
        during = statements[number - 1 : last]
        for lock in statement["locks"]:
            if lock["mode"] == _HARMLESS:
                continue
            found.append(
                HeldLock(
                    lock["index"] or lock["table"],
                    lock["mode"],
                    BLOCKS[lock["mode"]],
                    number,
                    last,
                    sum(each["duration"] for each in during),
                    _work(during),
                )
            )
    return sorted(found, key=lambda lock: (lock.first, -MODES.index(lock.mode), lock.on))


def _last_of_transaction(statements: Sequence[Mapping[str, Any]], first: int) -> int:
    transaction = statements[first - 1]["transaction"]
    if transaction is None:
        return first
    numbers = range(first, len(statements) + 1)
    return max(each for each in numbers if statements[each - 1]["transaction"] == transaction)


def _work(statements: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = (f"{work['kind']} {work['table']}" for each in statements for work in each["work"])
    return tuple(dict.fromkeys(found))
