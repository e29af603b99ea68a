"""What is under way on the database: runs, backfills and rehearsals."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from partman.migration.ledger.timeline import Item, State, Timeline, read_timeline
from partman.rehearsal.source import APPLICATION_NAME

if TYPE_CHECKING:
    from asyncpg import Connection, Record

# Another role's sessions show neither their statements nor when they began, but their locks: a
# session in a transaction has one on its own number. The source is in one while rows are copied.
_REHEARSALS = f"""
SELECT usename::text AS role, backend_start AS started_at,
    EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'virtualxid')
        AS is_copying
FROM pg_stat_activity AS a
WHERE datname = current_database() AND application_name = '{APPLICATION_NAME}'
ORDER BY pid
"""


@dataclass(frozen=True)
class RehearsalUnderWay:
    """A rehearsal that copies this database."""

    role: str
    started_at: datetime | None
    """None if the service's login may not see that."""
    is_copying: bool
    """Whether rows are still copied; then the migrations run on the copy."""


@dataclass(frozen=True)
class Activity:
    """What is under way."""

    timeline: Timeline
    rehearsals: tuple[RehearsalUnderWay, ...]

    @property
    def backfills(self) -> tuple[Item, ...]:
        """The migrations that fill a column in portions, running or interrupted."""
        return tuple(item for item in self.timeline.items if item.progress is not None)

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return self.timeline.running or bool(self.rehearsals)

    @property
    def facts(self) -> dict[str, Any]:
        """What scripts are told."""
        running = [item for item in self.timeline.items if item.state is State.RUNNING]
        return {
            "busy": self.is_busy,
            "state": self.state,
            "run_under_way": self.timeline.running,
            "running": [item.facts for item in running],
            "backfills": self.backfill_facts,
            "rehearsals": self.rehearsal_facts,
        }

    @property
    def backfill_facts(self) -> list[dict[str, Any]]:
        """The backfills, for scripts."""
        return [
            {
                "app": item.migration.app,
                "migration": item.migration.id,
                "description": item.migration.description,
                "running": item.state is State.RUNNING,
                "step": item.step,
                "steps": item.steps,
                "rows_done": item.progress.rows,
                "rows_total": item.progress.total,
            }
            for item in self.backfills
            if item.progress is not None
        ]

    @property
    def rehearsal_facts(self) -> list[dict[str, Any]]:
        """The rehearsals, for scripts."""
        return [asdict(rehearsal) for rehearsal in self.rehearsals]

    @property
    def state(self) -> str:
        """A text that changes when a page that shows the timeline should be read again."""
        facts = [self.timeline.facts, len(self.timeline.runs), self.rehearsal_facts]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


async def read_activity(connection: "Connection[Record]") -> Activity:
    """Read what is under way, with the timeline. Changes nothing."""
    rows = await connection.fetch(_REHEARSALS)
    rehearsals = tuple(RehearsalUnderWay(**row) for row in rows)
    return Activity(await read_timeline(connection), rehearsals)
