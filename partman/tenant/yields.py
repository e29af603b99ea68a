"""Refuse a ``tenant()`` block around a ``yield``.

A generator runs in the context of whoever asks it for the next value. So a consumer of rows would
be in the block without a sign of it, and a generator that is abandoned half-way rolls back what its
consumer takes for saved. Around the ``yield`` of a context manager it is right: the consumer has
asked for the block, and cannot abandon it.
"""

import ast
import functools
import inspect
import linecache
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from partman.errors import TenantYieldError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_OURS = "partman.tenant."
_CONTEXTLIB = "contextlib."
_FASTAPI = "fastapi"


def refuse_around_yield() -> None:
    """Raise TenantYieldError if the block that is being entered is around a yield."""
    frame = _outside(sys._getframe(1), (_OURS, _CONTEXTLIB))  # noqa: SLF001
    while frame is not None and frame.f_code.co_flags & _GENERATOR:
        if not _is_context_manager(frame):
            _refuse_generator(frame)
            return
        consumer = _outside(frame.f_back, (_CONTEXTLIB,))
        if consumer is not None and _module(consumer).partition(".")[0] == _FASTAPI:
            _refuse_dependency(frame, consumer)
            return
        frame = consumer


def abandoned(trace: "TracebackType | None") -> TenantYieldError:
    """Return the error for a block that ends since its generator was abandoned."""
    where = f" in {_place(trace.tb_frame)}" if trace else ""
    return TenantYieldError(
        f"The tenant() block{where} ends since the generator around it was abandoned at a yield. "
        f"Nothing of the block was saved. {_INSTEAD}"
    )


_INSTEAD = (
    "Leave the block before each yield: read a portion of the rows in a tenant() block of its own, "
    "then yield them. To return all rows, return a list. To write a block of your own, use "
    "@asynccontextmanager."
)


def _refuse_generator(frame: "FrameType") -> None:
    if _yields_inside(frame.f_code.co_filename, frame.f_lineno):
        raise TenantYieldError(
            f"tenant() was entered around a yield, in {_place(frame)}. Nothing was run. Whoever "
            "iterates would be in the block too, and what is written is lost if the iteration "
            f"stops early. {_INSTEAD}"
        )


def _refuse_dependency(frame: "FrameType", consumer: "FrameType") -> None:
    """Allow the scope that ends before the response; the usual one ends after it."""
    for caller in _stack(consumer):
        dependant = caller.f_locals.get("sub_dependant")
        if dependant is not None and _module(caller).partition(".")[0] == _FASTAPI:
            if getattr(dependant, "scope", None) == "function":
                return
            break
    raise TenantYieldError(
        f"tenant() was entered in a dependency with yield, in {_place(frame)}. Nothing was run. "
        "FastAPI would end the block after the response, which reports what is not yet saved. "
        'Use Depends(..., scope="function"), which ends before it, or TenantMiddleware of '
        "partman.asgi, or enter tenant() in the handler."
    )


def _is_context_manager(frame: "FrameType") -> bool:
    """Whether the generator is run by ``@contextmanager`` or ``@asynccontextmanager``."""
    return frame.f_back is not None and _module(frame.f_back) == "contextlib"


def _outside(frame: "FrameType | None", passed: tuple[str, ...]) -> "FrameType | None":
    """Return the innermost frame outside of these modules or packages, which end with a dot."""
    while frame is not None and f"{frame.f_globals.get('__name__')}.".startswith(passed):
        frame = frame.f_back
    return frame


def _stack(frame: "FrameType | None") -> Iterator["FrameType"]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: "FrameType") -> str:
    return str(frame.f_globals.get("__name__", ""))


def _place(frame: "FrameType") -> str:
    return f"{frame.f_code.co_name}() at {frame.f_code.co_filename}:{frame.f_lineno}"


@functools.cache
def _yields_inside(file: str, line: int) -> bool:
    """Whether the block that is entered on a line has a yield in it; True if it cannot be read."""
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    if _is_entered_by_hand(tree, line):
        return False
    # The innermost: its own statement, or that of an AsyncExitStack.
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith | ast.With)
        and node.lineno <= line <= (node.end_lineno or line)
    ]
    if not around:
        return True
    block = max(around, key=lambda node: node.lineno)
    return any(_yields(statement) for statement in block.body)


def _is_entered_by_hand(tree: ast.Module, line: int) -> bool:
    """Whether a line calls ``__aenter__`` itself, and so takes care of the end of the block."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"__aenter__", "__enter__"}
        and node.lineno <= line <= (node.end_lineno or line)
        for node in ast.walk(tree)
    )


def _yields(node: ast.AST) -> bool:
    """Whether there is a yield in a statement; functions within it do not count."""
    if isinstance(node, ast.Yield | ast.YieldFrom):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
        return False
    return any(_yields(child) for child in ast.iter_child_nodes(node))
