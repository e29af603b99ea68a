"""What ``partman status`` prints."""

import json
from collections.abc import Collection
from datetime import datetime

from partman.cli.text_table import table_by_app
from partman.database.explain import shortened
from partman.migration.ledger.history import Direction
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.timeline import Item, State, Timeline

NO_VERSION = "none, no migration is applied"
_WIDTH = 160
"""Characters of an error; the history has all of it."""


def status_json(timeline: Timeline) -> str:
    """Return it for scripts."""
    return json.dumps(timeline.facts, default=str, indent=2)


def status_text(timeline: Timeline, stopping: Collection[Problem]) -> str:
    """Return it for people; ``stopping``: the problems because of which a run refuses to begin."""
    status = timeline.status
    rows = [
        (
            item.migration.id,
            item.migration.description if item.migration.has_file else "(no file)",
            f"{item.migration.applied_at:%Y-%m-%d %H:%M:%S}"
            if item.migration.applied_at
            else item.state,
        )
        for item in timeline.items
    ]
    header = ("migration", "description", "applied")
    apps = [item.migration.app for item in timeline.items]
    told = [sentence for item in timeline.items if (sentence := _sentence(item))]
    if timeline.running and not any(item.state is State.RUNNING for item in timeline.items):
        told.append("A migration run is in progress: it holds the migration lock.")
    lines = [*table_by_app(header, rows, apps), "", *told]
    lines += [
        f"{'Problem' if problem in stopping else 'Note'}: {problem.message}"
        for problem in timeline.problems
    ]
    lines.append(
        f"Schema version {status.version or NO_VERSION}; "
        f"{len(status.applied)} applied, {len(status.pending)} pending."
    )
    if stopping:
        lines.append("A run would stop before it begins, with exit code 10.")
    elif status.pending:
        lines.append("Run them with: piccolo migrations forwards all")
    return "\n".join(lines)


def _sentence(item: Item) -> str:
    """Return what the table cannot tell of a migration that is not where it should be."""
    attempt, failure = item.attempt, item.failure
    if attempt is None:
        return ""
    backwards = ", backwards" if attempt.direction is Direction.BACKWARDS else ""
    if item.state is State.RUNNING:
        step = f", step {item.step} of {item.steps}" if item.steps else ""
        if item.progress:
            step += f", {item.progress}"
        return f"Running{backwards}: {item.migration.id}, since {_utc(attempt.started_at)}{step}."
    if failure is None:
        return ""
    error = failure.error or ""
    if item.state is State.KILLED:
        began = _utc(failure.started_at)
        return (
            f"Killed{backwards}: {item.migration.id}, begun {began}. {error} "
            "The next run records this."
        )
    first_line = error.partition("\n")[0]
    return (
        f"Failed{backwards}: {item.migration.id}, {_utc(failure.ended_at or failure.started_at)}: "
        f"{shortened(first_line, _WIDTH)} (all of it: partman history)"
    )


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
