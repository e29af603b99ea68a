"""Queries of a ``tenant()`` block that are started in another event loop or thread."""

import asyncio
import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from piccolo.utils.sync import run_sync

from partman.errors import WrongLoopError

if TYPE_CHECKING:
    from types import FrameType


class Block(Protocol):
    """A block that was entered."""

    loop: asyncio.AbstractEventLoop
    thread: int

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        ...


def refuse_other_loop(home: asyncio.AbstractEventLoop) -> None:
    """Raise WrongLoopError if the event loop that is running is not a block's."""
    if asyncio.get_running_loop() is not home:
        raise WrongLoopError(
            "A query of a tenant() block was started in another event loop, as run_sync() and "
            "asyncio.run() in another thread do. It was not sent. Await it where the block is: "
            "await Partner.count(). Let a thread only compute, or give it a block of its own: "
            "with tenant_sync(...)"
        )


def refuse_run_sync(blocks: Iterable[Block], current: ContextVar[Any]) -> None:
    """Raise WrongLoopError for a query that ``run_sync()`` runs for one of the blocks.

    In a running event loop, Piccolo's run_sync() starts a thread with an event loop and an empty
    context, in which the query would run outside of the tenant. From that thread nobody sees the
    context of the first one: from Python 3.12 on a task tells its own, before that, a block that is
    open in the waiting event loop counts.
    """
    open_blocks = [block for block in blocks if not block.over]
    if not open_blocks:
        return
    waiting = _thread_that_waits_for_us()
    if any(block.thread == waiting and _is_current(block, current) for block in open_blocks):
        raise WrongLoopError(
            "run_sync() was called in a tenant() block. There it would run in a thread of its own, "
            "outside of the tenant. It was not sent. Await the query: await Partner.count()"
        )


def _thread_that_waits_for_us() -> int | None:
    """Return the thread in whose run_sync() the current coroutine was given to this thread."""
    own = set(_stack(sys._getframe()))  # noqa: SLF001
    for thread, top in sys._current_frames().items():  # noqa: SLF001
        if thread == threading.get_ident():
            continue
        for frame in _stack(top):
            if frame.f_code is run_sync.__code__:
                coroutine = frame.f_locals.get("coroutine")
                if getattr(coroutine, "cr_frame", None) in own:
                    return thread
    return None


def _stack(frame: "FrameType | None") -> Iterator["FrameType"]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_current(block: Block, current: ContextVar[Any]) -> bool:
    task = asyncio.current_task(block.loop)
    get_context = getattr(task, "get_context", None)
    if get_context is None:
        return True
    return get_context().get(current) is block
