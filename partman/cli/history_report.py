"""What ``partman history`` prints."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from partman.cli import look
from partman.cli.look import Block
from partman.migration.ledger.history import Entry, Outcome
from partman.wording import abbreviated, counted

_STYLES = {
    Outcome.DONE: look.GOOD,
    Outcome.FAILED: look.BAD,
    Outcome.RUNNING: look.BRIEF,
    Outcome.KILLED: look.BAD,
}


@dataclass(frozen=True)
class Line:
    """A run, or runs in a row of the same migration that failed with the same error."""

    first: Entry
    last: Entry
    count: int

    def continues_with(self, entry: Entry) -> bool:
        """Whether the next run is told in the same line."""
        if self.last.error is None:
            return False
        return _what_failed(self.last) == _what_failed(entry)


def history_json(entries: Sequence[Entry], limit: int) -> str:
    """Return the newest ``limit`` runs for scripts; 0: all."""
    facts = [entry._asdict() | {"duration": entry.seconds} for entry in entries[-limit:]]
    return json.dumps(facts, default=str, indent=2)


def history_report(entries: Sequence[Entry], limit: int) -> Iterator[Block]:
    """Yield the newest ``limit`` lines for people; 0: all."""
    if not entries:
        yield look.said("No migration has been run by partman on this database.")
        return
    lines = _grouped(entries)
    shown = lines[-limit:]
    newest = shown[-1]
    yield look.verdict(
        _outcome(newest),
        _STYLES[newest.last.outcome],
        f"{newest.last.migration} {newest.last.direction}, {_time(newest.last.started_at)} UTC, "
        f"is the newest of {counted(len(entries), 'run')}.",
    )
    yield look.BLANK
    header = ("when (UTC)", "migration", "direction", "outcome", "took", "by", "revision")
    rows, apps = [_row(line) for line in shown], [line.last.app for line in shown]
    yield look.table_by_app(header, rows, apps)
    if notes := [note for line in shown for note in _notes(line)]:
        yield look.BLANK
        yield from notes
    if older := sum(line.count for line in lines[: len(lines) - len(shown)]):
        yield look.BLANK
        yield look.said(f"{counted(older, 'older run')} not shown: partman history --limit 0")


def _grouped(entries: Sequence[Entry]) -> list[Line]:
    lines: list[Line] = []
    for entry in entries:
        if lines and lines[-1].continues_with(entry):
            lines[-1] = Line(lines[-1].first, entry, lines[-1].count + 1)
        else:
            lines.append(Line(entry, entry, 1))
    return lines


def _what_failed(entry: Entry) -> tuple[object, ...]:
    return (entry.key, entry.direction, entry.outcome, entry.error)


def _row(line: Line) -> tuple[str | look.Span, ...]:
    last = line.last
    return (
        _time(last.started_at),
        last.migration,
        last.direction,
        (_outcome(line), _STYLES[last.outcome]),
        "-" if last.seconds is None else f"{last.seconds:.3f} s",
        f"{last.os_user}@{last.host} as {last.role}",
        abbreviated(last.revision or "-"),
    )


def _outcome(line: Line) -> str:
    outcome = line.last.outcome
    return outcome if line.count == 1 else f"{outcome} {line.count} times"


def _notes(line: Line) -> Iterator[Block]:
    """Yield what the table has no place for."""
    last = line.last
    if last.changes:
        yield look.Prose(((f"{last.migration}: {last.changes}", look.PLAIN),), hanging=2)
    if not last.error:
        return
    times = (
        f", {_outcome(line)} since {_time(line.first.started_at)}, last {_time(last.started_at)}"
        if line.count > 1
        else ""
    )
    yield look.Prose(
        ((f"{last.migration}{times}: ", _STYLES[last.outcome]), (last.error, look.PLAIN)), hanging=2
    )


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
