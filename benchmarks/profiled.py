"""Run a command of a project, and write where its CPU time went: of the process and of the server.

    python profiled.py RESULT partman|piccolo ARGUMENTS...

Imports nothing of this checkout, so it measures whatever checkout the interpreter belongs to. The
process is sampled while it uses the CPU; the server's processes tell their CPU time themselves.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

START = "Python and imports"
PARTS = {
    "/partman/migration/ledger/": "files, checksums, history",
    "/partman/grammar/": "PostgreSQL's grammar",
    "/partman/": "the rest of partman",
    "/piccolo/": "Piccolo",
    "/asyncpg/": "driver and event loop",
    "/asyncio/": "driver and event loop",
}
"""The part to which a frame belongs, by what is in the name of its file; the first counts."""
DDL, BEGINNING, COMPLETION = "the statements themselves", "beginning", "completion and COMMIT"
_EVERY = 0.001

client: Counter[str] = Counter()
server: Counter[str] = Counter()


def _sample(_: int, frame: FrameType | None) -> None:
    """Count a sample for the innermost frame that belongs to a part, or for an import around it."""
    found = None
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib._bootstrap" in name:
            found = START
            break
        found = found or next((part for piece, part in PARTS.items() if piece in name), None)
        frame = frame.f_back
    client[found or START] += 1


def _part_of(message: str) -> str:
    if message.startswith('CREATE TABLE "table_'):
        return DDL
    if "INTO public.migration_history" in message:
        return BEGINNING
    return COMPLETION if message.endswith("COMMIT") else "before and after the migrations"


def _watch_server() -> None:
    import asyncpg

    def watched(method: Any) -> Any:
        async def run(self: Any, message: str, *arguments: Any, **options: Any) -> Any:
            process = self.get_server_pid()
            before = _cpu(process)
            try:
                return await method(self, message, *arguments, **options)
            finally:
                server[_part_of(message)] += _cpu(process) - before

        return run

    for name in ("execute", "fetch", "fetchval", "fetchrow"):
        setattr(asyncpg.Connection, name, watched(getattr(asyncpg.Connection, name)))


def _cpu(process: int) -> int:
    """Return the CPU time of a process in nanoseconds; Linux only."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0])


def main() -> None:
    """Run the command that the arguments name."""
    result, program, *arguments = sys.argv[1:]
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 -- as the programs do it
    sys.argv = [program, *arguments]
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
    module = "piccolo.main" if program == "piccolo" else "partman.cli"
    program_main = __import__(module, fromlist=["main"]).main
    _watch_server()
    try:
        program_main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    used = sum(os.times()[:2])
    count = sum(client.values())
    parts = {part: used * number / count for part, number in client.items()}
    by_server = {part: number / 1e9 for part, number in server.items()}
    Path(result).write_text(json.dumps({"client": parts, "server": by_server}))


if __name__ == "__main__":
    main()
