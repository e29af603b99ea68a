"""What ``partman history`` prints."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from partman.cli.text_table import table_by_app
from partman.migration.ledger.history import Entry
from partman.wording import abbreviated, counted


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
    facts = [asdict(entry) | {"duration": entry.seconds} for entry in entries[-limit:]]
    return json.dumps(facts, default=str, indent=2)


def history_text(entries: Sequence[Entry], limit: int) -> str:
    """Return the newest ``limit`` lines for people; 0: all."""
    if not entries:
        return "No migration has been run by partman on this database."
    lines = _grouped(entries)
    shown = lines[-limit:]
    header = ("when (UTC)", "migration", "direction", "outcome", "took", "by", "revision")
    printed = table_by_app(
        header, [_row(line) for line in shown], [line.last.app for line in shown]
    )
    if notes := [note for line in shown for note in _notes(line)]:
        printed += ["", *notes]
    if older := sum(line.count for line in lines[: len(lines) - len(shown)]):
        printed += ["", f"{counted(older, 'older run')} not shown: partman history --limit 0"]
    return "\n".join(printed)


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


def _row(line: Line) -> tuple[str, ...]:
    last = line.last
    return (
        _time(last.started_at),
        last.migration,
        last.direction,
        last.outcome if line.count == 1 else f"{last.outcome} {line.count} times",
        "-" if last.seconds is None else f"{last.seconds:.3f} s",
        f"{last.os_user}@{last.host} as {last.role}",
        abbreviated(last.revision or "-"),
    )


def _notes(line: Line) -> list[str]:
    """Return what the table has no place for."""
    last = line.last
    notes = [f"{last.migration}: {last.changes}"] if last.changes else []
    if last.error and line.count > 1:
        notes.append(
            f"{last.migration}, {last.outcome} {line.count} times since "
            f"{_time(line.first.started_at)}, last {_time(last.started_at)}: {last.error}"
        )
    elif last.error:
        notes.append(f"{last.migration}: {last.error}")
    return notes


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
