"""A connection pool that nobody waits for without end, and that knows who holds connections."""

import asyncio
import contextlib
import inspect
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import Pool

from partman.errors import DatabaseUnavailableError, PoolFullError, WrongLoopError

if TYPE_CHECKING:
    from types import FrameType

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

_BETWEEN = frozenset({"asyncio", "asyncpg", "contextlib", "partman", "piccolo"})
"""Packages between the code that wants a connection and the pool."""

_borrower: ContextVar[str | None] = ContextVar("borrower", default=None)


@contextlib.contextmanager
def borrowing_for(name: str) -> Iterator[None]:
    """Name who takes the connections of a block, where no file and line would tell."""
    token = _borrower.set(name)
    try:
        yield
    finally:
        _borrower.reset(token)


@dataclass(frozen=True)
class _Loan:
    proxy: "PoolConnectionProxy[Record]"
    borrower: str
    started: float

    @property
    def is_over(self) -> bool:
        """Whether the connection was returned or dropped."""
        try:
            return self.proxy.is_closed()
        except asyncpg.InterfaceError:
            return True


class LimitedPool(Pool["Record"] if TYPE_CHECKING else Pool):  # type: ignore[misc]
    """asyncpg's pool, with a limit to how long ``acquire()`` waits.

    Its arguments are those of ``asyncpg.create_pool``.
    """

    def __init__(self, *, wait: float, **options: Any) -> None:
        parameters = inspect.signature(asyncpg.create_pool).parameters.values()
        defaults = {
            each.name: each.default for each in parameters if each.default is not each.empty
        }
        options = {**defaults, **options}
        super().__init__(options.pop("dsn"), **options)
        self._wait = wait
        self._loans: dict[int, _Loan] = {}
        self._home = asyncio.get_running_loop()

    async def _acquire(  # of the driver, as both ways to acquire call it
        self,
        timeout: float | None,  # noqa: ASYNC109
    ) -> "PoolConnectionProxy[Record]":
        """Take a connection. Raises PoolFullError, WrongLoopError, DatabaseUnavailableError."""
        if asyncio.get_running_loop() is not self._home:
            raise WrongLoopError(
                "A connection of the pool was asked for in another event loop than the one that "
                "started the pool: another thread, or another asyncio.run(). Nothing was run. "
                "Await the query in that loop. In code without a loop of its own: "
                "with tenant_sync(...)"
            )
        borrower = _borrower.get() or calling_line()
        try:
            async with asyncio.timeout(self._wait or None) as limit:
                proxy: PoolConnectionProxy[Record] = await super()._acquire(timeout)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._explain_waiting() from None
        if len(self._loans) >= self.get_max_size():
            self._forget_what_is_over()
        self._loans[id(proxy)] = _Loan(proxy, borrower, time.monotonic())
        return proxy

    async def release(
        self,
        connection: "PoolConnectionProxy[Record]",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 -- the driver's
    ) -> None:
        """Take a connection back."""
        try:
            await super().release(connection, timeout=timeout)
        finally:
            self._loans.pop(id(connection), None)

    def _forget_what_is_over(self) -> None:
        self._loans = {key: loan for key, loan in self._loans.items() if not loan.is_over}

    def _explain_waiting(self) -> DatabaseUnavailableError:
        self._forget_what_is_over()
        size = self.get_max_size()
        if len(self._loans) < size:
            return DatabaseUnavailableError(
                f"The pool could not open a connection in {self._wait:g} s (PARTMAN_POOL_WAIT). "
                "Nothing was run; try again.",
                transient=True,
            )
        connections = "one connection is" if size == 1 else f"{size} connections are"
        return PoolFullError(
            f"No connection was free for {self._wait:g} s (PARTMAN_POOL_WAIT): the pool's "
            f"{connections} held by {self._borrowers()}. Nothing was run; try again. Do slow work "
            "outside of these blocks, or start the pool with a larger max_size."
        )

    def _borrowers(self) -> str:
        """Return who holds connections, the longest first."""
        by_borrower: dict[str, list[_Loan]] = defaultdict(list)
        for loan in sorted(self._loans.values(), key=lambda loan: loan.started):
            by_borrower[loan.borrower].append(loan)
        return "; ".join(
            f"{borrower} since {_since(loans[0].started)}"
            + (f" and {len(loans) - 1} more of it" if len(loans) > 1 else "")
            for borrower, loans in by_borrower.items()
        )


def _since(started: float) -> str:
    seconds = time.monotonic() - started
    return f"{datetime.now().astimezone() - timedelta(seconds=seconds):%H:%M:%S} ({seconds:.1f} s)"


def calling_line() -> str:
    """Return the file and line of the code outside of the libraries that is being run."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _BETWEEN:
            return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown code"


def _shown(path: str) -> str:
    """Return a path below the current folder without that folder."""
    folder = os.getcwd() + os.sep  # noqa: PTH109 -- Path takes a hundred times longer
    return path.removeprefix(folder)
