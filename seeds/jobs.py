"""Generate the rows in several processes. One connection sends them all, in one transaction."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from partman.errors import PartmanError
from seeds.batches import Batch
from seeds.generate import SeedPlan
from seeds.worker import order

COMMAND = (sys.executable, "-P", "-m", "seeds.worker")


class JobFailedError(PartmanError):
    """A process that generates rows ended early."""


async def in_processes(plan: SeedPlan, jobs: int, send: Callable[[Batch], Awaitable[None]]) -> None:
    """Generate the rows in that many processes, and send each batch that is finished.

    A process is at most a batch ahead: it waits until that is read.

    Raises JobFailedError.
    """
    turn = asyncio.Lock()

    async def relay(process: Process) -> None:
        async for batch in _batches_of(process):
            async with turn:
                await send(batch)
        if code := await process.wait():
            raise _failed(code)

    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(_started(order(plan, job, jobs))) for job in range(jobs)
        ]
        tasks = [asyncio.create_task(relay(process)) for process in processes]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _started(given: bytes) -> AsyncIterator[Process]:
    # In a session of its own, Ctrl-C does not reach it. It ends when nobody reads its output.
    # It imports from where this process does, whatever folder that is in.
    modules = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=PIPE,
        stdout=PIPE,
        env=os.environ | {"PYTHONPATH": modules},
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Reads what is left, so that the pipe is closed.
        await process.communicate()


async def _batches_of(process: Process) -> AsyncIterator[Batch]:
    assert process.stdout is not None
    try:
        while line := await process.stdout.readline():
            found = json.loads(line)
            texts = {
                table: await process.stdout.readexactly(size)
                for table, size in found["sizes"].items()
            }
            yield Batch(found["opportunities"], texts)
    except (asyncio.IncompleteReadError, json.JSONDecodeError):
        # It ended within a batch.
        raise _failed(await process.wait()) from None


def _failed(code: int) -> JobFailedError:
    return JobFailedError(
        f"A process that generates rows ended with exit code {code}. Nothing was seeded. Its error "
        "is above; if it was killed, try fewer --jobs."
    )
