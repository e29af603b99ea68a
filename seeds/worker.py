"""``python -m seeds.worker``: generate a share of the rows, and write them to standard output.

The plan comes as JSON on standard input. ``jobs`` starts these processes and reads what they write.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from uuid import UUID

from seeds.batches import Batch, batches
from seeds.generate import SeedPlan


def order(plan: SeedPlan, job: int, jobs: int) -> bytes:
    """Return what a process reads: the plan, and that its organizations are every n-th one."""
    return json.dumps({"plan": asdict(plan), "job": job, "jobs": jobs}, default=str).encode()


def ordered(given: str | bytes) -> Iterator[Batch]:
    """Generate what an order asks for."""
    asked = json.loads(given)
    plan = asked["plan"]
    default = plan["default_organization"]
    plan["as_of"] = date.fromisoformat(plan["as_of"])
    plan["default_organization"] = UUID(default) if default else None
    whole = SeedPlan(**plan)
    return batches(whole, range(asked["job"], whole.organizations, asked["jobs"]))


def header(batch: Batch) -> bytes:
    """Return the line before the texts of a batch; their sizes are in bytes."""
    sizes = {table: len(text) for table, text in batch.texts.items()}
    return json.dumps({"opportunities": batch.opportunities, "sizes": sizes}).encode() + b"\n"


def main() -> None:
    """Write the batches. Ends silently when nobody reads them: then nothing is seeded."""
    gc.disable()  # as the command does
    try:
        for batch in ordered(sys.stdin.read()):
            sys.stdout.buffer.write(header(batch))
            sys.stdout.buffer.writelines(batch.texts.values())
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # Without a last attempt to write.


if __name__ == "__main__":
    main()
