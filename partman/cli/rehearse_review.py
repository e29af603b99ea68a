"""A rehearsal for the review of a change: as Markdown, for a comment."""

from collections.abc import Iterator

from partman.cli.plan_report import guard
from partman.cli.plan_review import SIGNS, cell, escaped, fenced
from partman.cli.rehearse_report import back, copied, time_of, work_of
from partman.rehearsal.model import MeasuredStatement, Rehearsal, RehearsedMigration
from partman.wording import counted, in_seconds

MARK = "<!-- partman rehearse -->"
"""By which a comment is found again."""


def markdown(found: Rehearsal) -> str:
    """Return the rehearsal as the text of a comment."""
    return "\n".join([MARK, *_markdown(found), ""])


def _markdown(found: Rehearsal) -> Iterator[str]:
    if not found.migrations or found.copy is None:
        yield "### No migrations"
        yield f"\nNothing is pending at version {found.version or 'none'}."
        return
    worst = "❌ fails" if found.failed else f"{SIGNS[found.level]} {found.level.title}"
    yield f"### {counted(len(found.migrations), 'migration')} rehearsed: {worst}"
    yield ""
    yield "| migration | verdict | time | because | back |"
    yield "| --- | --- | --- | --- | --- |"
    for each in found.migrations:
        verdict = "❌ fails" if each.error else f"{SIGNS[each.level]} {each.level.title}"
        because = "<br>".join(map(cell, [each.error] if each.error else each.reasons))
        named = " ".join(filter(None, (f"`{each.id}`", cell(each.description))))
        yield (
            f"| {named} | {verdict} | {in_seconds(each.seconds)} | {because} | {cell(back(each))} |"
        )
    sampled = found.copy.sample is not None
    for each in found.migrations:
        yield from _details(each, sampled=sampled)
    yield ""
    for note in (*found.notes, *(f"Not tried: {each}" for each in found.not_tried)):
        yield f"- {escaped(note)}"
    yield f"\n<sub>On {escaped(copied(found.copy))}</sub>"


def _details(migration: RehearsedMigration, *, sampled: bool) -> Iterator[str]:
    number = counted(len(migration.statements), "statement")
    yield "\n<details>"
    yield f"<summary><code>{migration.id}</code>: {number}</summary>\n"
    for statement in migration.statements:
        yield from _statement(statement, sampled=sampled)
    if migration.losses:
        yield f"- **Data loss**: the guard {guard(migration)}"
    yield "\n</details>"


def _statement(statement: MeasuredStatement, *, sampled: bool) -> Iterator[str]:
    yield fenced(statement.sql.strip())
    yield f"- {time_of(statement, sampled=sampled)}"
    for lock in statement.locks:
        held = in_seconds(lock.held)
        on = escaped(lock.index or lock.table)
        yield f"- {lock.mode.lower()} on {on} for {held}, blocks {lock.blocks}"
    yield from (f"- {escaped(of)}" for of in work_of(statement))
    yield ""
