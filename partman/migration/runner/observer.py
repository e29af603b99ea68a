"""Who looks at each statement of a migration while it runs, as `partman plan` does.

There is none in an ordinary run, which then pays for one look at a variable.
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
    """Looks at statements."""

    async def statement(
        self, connection: "Connection[Record]", sql: str, send: Send, step: int | None
    ) -> Any:
        """Run a statement, and return what it returns.

        ``step`` is the number of the online migration's step; None in a migration without steps.
        The guard may go back to before the statement and run it again: then this is called
        again, with the same ``send``.
        """


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Let the observer see every statement of the migrations that run in a block."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def observed(
    connection: "Connection[Record]", sql: str, send: Send, step: int | None = None
) -> Send:
    """Return what runs the statement, under the eyes of the observer if there is one."""
    observer = _observer.get()
    return send if observer is None else partial(observer.statement, connection, sql, send, step)
