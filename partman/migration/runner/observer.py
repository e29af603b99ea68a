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

Send = Callable[[], Awaitable[Any]]


class Observer(Protocol):
    """Runs statements on behalf of a migration, and observes them."""

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement, and return what it returns.

        ``step`` is the number of an online migration's step, else None.
        """


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


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
    """Whether an observer is set: then the database is a scratch database."""
    return _observer.get() is not None


def observed(
    connection: "Connection[Record]", sql: str, send: Send, step: int | None = None
) -> Send:
    """Return a function that runs the statement, through the observer if one is set."""
    observer = _observer.get()
    return send if observer is None else partial(observer.statement, connection, sql, send, step)
