"""Observe each statement of a migration while it runs, as `partman plan` does.

An ordinary run has no observer, and pays only for reading one variable.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from asyncpg import Connection, Record

    from partman.migration.runner.guard import Outcome

Send = Callable[[], Awaitable[Any]]


class Observer(Protocol):
    """Runs statements on behalf of a migration, and observes them."""

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement, and return what it returns.

        ``step`` is the number of an online migration's step, else None.
        """


class RowObserver(Observer, Protocol):
    """Observes migrations on a database with rows, as `partman rehearse` does."""

    def finished(self, outcome: "Outcome") -> None:
        """Note what a transaction has done to the rows, before its commit."""


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
_row_observer: ContextVar[RowObserver | None] = ContextVar("row_observer", default=None)


_in_portions: ContextVar[bool] = ContextVar("in_portions", default=False)


@contextmanager
def in_portions() -> Iterator[None]:
    """Let the observer know that a run does in many commits what it sees in a block."""
    token = _in_portions.set(True)
    try:
        yield
    finally:
        _in_portions.reset(token)


def is_in_portions() -> bool:
    """Whether a run does in many commits what is observed."""
    return _in_portions.get()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Send every statement of the migrations that run in a block through the observer."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def is_observed() -> bool:
    """Whether somebody observes the statements."""
    return _observer.get() is not None


@contextmanager
def observing_rows(observer: RowObserver) -> Iterator[None]:
    """As observing(), on a database with rows: a run does there all that it does elsewhere."""
    token = _row_observer.set(observer)
    try:
        with observing(observer):
            yield
    finally:
        _row_observer.reset(token)


def runs_without_rows() -> bool:
    """Whether migrations are observed on a scratch database without rows.

    A run needs no guard there, no portions, and nobody to tell whom it waits for.
    """
    return _observer.get() is not None and _row_observer.get() is None


def note_outcome(outcome: "Outcome") -> None:
    """Tell an observer of rows what a transaction has done to them."""
    if (observer := _row_observer.get()) is not None:
        observer.finished(outcome)


def observed(
    connection: "Connection[Record]", sql: str, send: Send, step: int | None = None
) -> Send:
    """Return a function that runs the statement, through the observer if one is set."""
    observer = _observer.get()
    return send if observer is None else partial(observer.statement, connection, sql, send, step)
