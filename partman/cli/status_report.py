"""What ``partman status`` prints."""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from partman.cli import look
from partman.cli.look import Block
from partman.database.explain import shortened
from partman.migration.ledger.history import Direction
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.timeline import Item, State, Timeline
from partman.wording import NO_VERSION

_WIDTH = 160
"""Characters of an error; the history has all of it."""
_STYLES = {
    State.RUNNING: look.BRIEF,
    State.KILLED: look.BAD,
    State.INTERRUPTED: look.BAD,
    State.FAILED: look.BAD,
    State.PENDING: look.WARNING,
}


def status_json(timeline: Timeline, more: Mapping[str, Any]) -> str:
    """Return it for scripts; ``more`` are further facts."""
    return json.dumps({**timeline.facts, **more}, default=str, indent=2)


def status_report(timeline: Timeline, stopping: Collection[Problem]) -> Iterator[Block]:
    """Yield it for people; ``stopping``: the problems because of which a run refuses to begin."""
    status = timeline.status
    yield look.verdict(
        *_verdict(timeline, stopping),
        f"Schema version {status.version or NO_VERSION}; "
        f"{len(status.applied)} applied, {len(status.pending)} pending.",
    )
    for problem in timeline.problems:
        told = look.problem if problem in stopping else look.note
        yield told(problem.message)
    for item in timeline.items:
        if sentence := _sentence(item):
            yield look.said(sentence, _STYLES.get(item.state, look.PLAIN))
    if timeline.running and not any(item.state is State.RUNNING for item in timeline.items):
        yield look.said("A migration run is in progress: it holds the migration lock.", look.BRIEF)
    if timeline.items:
        yield look.BLANK
        yield _table(timeline)
    if stopping:
        yield look.BLANK
        yield look.said("A run would stop before it begins, with exit code 10.")
    elif status.pending:
        yield look.BLANK
        yield look.Verbatim("Run them with: piccolo migrations forwards all")


def _verdict(timeline: Timeline, stopping: Collection[Problem]) -> look.Span:
    """Return in a word what matters most, and its style."""
    states = {item.state for item in timeline.items}
    if timeline.running:
        return "running", look.BRIEF
    if stopping:
        return "a run would stop", look.BAD
    for state in (State.KILLED, State.FAILED, State.INTERRUPTED):
        if state in states:
            return state.value, look.BAD
    if timeline.status.pending:
        return "pending", look.WARNING
    return "up to date", look.GOOD


def _table(timeline: Timeline) -> look.Table:
    rows = [
        (
            item.migration.id,
            item.migration.description if item.migration.has_file else "(no file)",
            # Of thousands; a format takes five times as long.
            item.migration.applied_at.replace(tzinfo=None).isoformat(" ", "seconds")
            if item.migration.applied_at
            else (item.state.value, _STYLES.get(item.state, look.PLAIN)),
        )
        for item in timeline.items
    ]
    header = ("migration", "description", "applied")
    apps = [item.migration.app for item in timeline.items]
    return look.table_by_app(header, rows, apps, frozenset({"description"}))


def _sentence(item: Item) -> str:
    """Return what the table cannot tell of a migration that is not where it should be."""
    attempt = item.attempt
    if attempt is None:
        return ""
    failure = item.failure
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
