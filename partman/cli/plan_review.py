"""A plan for the review of a change: as Markdown for a comment, and as annotations of GitHub."""

import ast
from collections.abc import Iterator
from pathlib import Path

from partman.cli.plan_report import back, guard, work_of
from partman.migration.ledger.files import MigrationFile, find_migration_file
from partman.plan.model import Level, Plan, PlannedMigration
from partman.plan.squawk import as_text
from partman.wording import counted

MARK = "<!-- partman plan -->"
"""By which a comment is found again."""

SIGNS = {
    Level.SAFE_LIVE: "🟢",
    Level.BRIEF_LOCK: "🔵",
    Level.BLOCKS_WRITES: "🟡",
    Level.DEPENDS_ON_ROWS: "🟣",
    Level.BLOCKS_READS: "🔴",
    Level.LOSES_DATA: "⛔",
}


def markdown(plan: Plan) -> str:
    """Return the plan as the text of a comment."""
    return "\n".join([MARK, *_markdown(plan), ""])


def _markdown(plan: Plan) -> Iterator[str]:
    if not plan.migrations:
        yield "### No migrations"
        yield f"\nNothing is pending at version {plan.version or 'none'}."
        return
    worst = "❌ fails" if plan.failed else f"{SIGNS[plan.level]} {plan.level.title}"
    yield f"### {counted(len(plan.migrations), 'migration')}: {worst}"
    yield ""
    yield "| migration | verdict | because |"
    yield "| --- | --- | --- |"
    for each in plan.migrations:
        verdict = "❌ fails" if each.error else f"{SIGNS[each.level]} {each.level.title}"
        because = "<br>".join(map(cell, _because(each)))
        yield f"| {_named(each)} | {verdict} | {because} |"
    for each in plan.migrations:
        yield from _details(each, plan)
    yield ""
    for note in (*plan.notes, *(f"Not tried: {each}" for each in plan.not_tried)):
        yield f"- {escaped(note)}"
    seen = (
        "" if plan.rows_seen else " No rows were seen: see the size of your tables in production."
    )
    yield (
        f"\n<sub>Tried at version {plan.version or 'none'}, on a scratch database without rows."
        f"{seen}</sub>"
    )


def _named(migration: PlannedMigration) -> str:
    return " ".join(filter(None, (f"`{migration.id}`", cell(migration.description))))


def _because(migration: PlannedMigration) -> list[str]:
    if migration.error:
        return [migration.error]
    return [*migration.reasons] if migration.level > Level.SAFE_LIVE else []


def _details(migration: PlannedMigration, plan: Plan) -> Iterator[str]:
    sql = as_text([each.sql for each in migration.statements]).rstrip()
    yield "\n<details>"
    yield (
        f"<summary><code>{migration.id}</code>: {counted(len(migration.statements), 'statement')}"
        "</summary>\n"
    )
    yield fenced(sql)
    if migration.losses:
        yield f"- **Data loss**: the guard {guard(migration)}"
    for text in work_of(migration, plan):
        yield f"- {escaped(text)}"
    for finding in migration.findings:
        yield f"- squawk, line {finding.line}: `{finding.rule}` {escaped(finding.message)}"
    if not migration.error:
        yield f"- Back: {escaped(back(migration))}"
    yield "\n</details>"


def fenced(sql: str) -> str:
    """Return SQL as a block that no backtick in it ends."""
    fence = "```"
    while fence in sql:
        fence += "`"
    return f"{fence}sql\n{sql}\n{fence}\n"


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """Return text in one line that Markdown shows as it is."""
    flat = " ".join(text.split())
    for character in "\\`*_<[":
        flat = flat.replace(character, f"\\{character}")
    return flat


# Annotations


def annotations(plan: Plan, folder: Path) -> Iterator[str]:
    """Yield workflow commands of GitHub, which show what is said at a line of a migration.

    ``folder`` is the one of the repository, to which the names of the files are relative.
    """
    for migration in plan.migrations:
        file = find_migration_file(migration.key)
        if file is None:
            continue
        kind = "error" if migration.error or migration.level is Level.LOSES_DATA else "warning"
        if migration.error or migration.level > Level.BRIEF_LOCK:
            title = "fails" if migration.error else migration.level.title
            text = "\n".join(_because(migration))
            yield _annotation(kind, file, folder, _line(file, ""), title, text)
        lines = _lines(migration)
        for finding in migration.findings:
            place = _line(file, lines[min(finding.line, len(lines)) - 1])
            yield _annotation("notice", file, folder, place, finding.rule, finding.message)


def _lines(migration: PlannedMigration) -> list[str]:
    """Return, for each line of the SQL of a migration, the statement that it belongs to."""
    return [
        each.sql
        for each in migration.statements
        for _ in as_text([each.sql]).rstrip("\n").split("\n")
    ] or [""]


def _line(file: MigrationFile, sql: str) -> int:
    """Return the line of a file that has a statement, or else its function."""
    function = 1
    wanted = sql.strip().removesuffix(";")
    for node in ast.walk(ast.parse(file.path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if wanted and wanted in node.value:
                return node.lineno
        elif isinstance(node, ast.AsyncFunctionDef) and node.name == "forwards":
            function = node.lineno
    return function


def _annotation(
    kind: str, file: MigrationFile, folder: Path, line: int, title: str, text: str
) -> str:
    path = file.path.resolve()
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    place = f"file={_property(str(name))},line={line},title={_property(title)}"
    return f"::{kind} {place}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
