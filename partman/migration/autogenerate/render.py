"""Render the text of a migration file."""

import ast
import itertools
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import black
from piccolo import __VERSION__

from partman.catalog.ddl.online import SqlStep
from partman.catalog.ddl.requirements import RowRequirement
from partman.grammar import same_meaning
from partman.migration.autogenerate.piccolo_operations import Imported, Operation

_LINE = 100
_OURS = Imported("partman.migration", "MigrationManager")
MIGRATION_ID = "<ID of the migration>"
"""Stands in SQL for the ID of the migration, which it gets last."""
_PACE = Imported("partman.migration", "Pace")


@dataclass(frozen=True)
class BackfillStep:
    """A backfill, of which other sessions wait for no row longer than 50 ms."""

    table: str
    forwards: str | None = None
    where: str | None = None
    backwards: str | None = None
    where_backwards: str | None = None


@dataclass(frozen=True)
class MigrationDraft:
    """The contents of a migration file."""

    app: str
    id: str = ""
    description: str = ""
    online: bool = False
    before: tuple[SqlStep, ...] = ()
    """Steps that run before Piccolo's operations."""
    operations: tuple[Operation, ...] = ()
    """Piccolo's operations; in an online migration, operations that Piccolo only records."""
    steps: tuple[SqlStep | BackfillStep, ...] = ()
    requirements: tuple[RowRequirement, ...] = ()
    suffix: str = ""
    """A word that distinguishes it from the other migrations of its app."""

    @property
    def only_adds(self) -> bool:
        """Whether reverting it removes what it has added, and so can lose nothing else."""
        return not (self.before or self.steps) and all(each.adds for each in self.operations)


def with_id(draft: MigrationDraft, migration: str) -> MigrationDraft:
    """Return the draft with its ID, also where its SQL names it."""

    def named(statements: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each.replace(MIGRATION_ID, migration) for each in statements)

    steps = tuple(
        step
        if isinstance(step, BackfillStep)
        else replace(step, forwards=named(step.forwards), backwards=named(step.backwards))
        for step in draft.steps
    )
    return replace(draft, id=migration, steps=steps)


def bare(name: str) -> str:
    """Return a table's name without schema and quotes."""
    return name.rpartition(".")[2].strip('"')


def write(
    contents: MigrationDraft, imports: Collection[Imported], definitions: Iterable[str]
) -> str:
    """Return the text of the file, with only the imports and definitions that it needs.

    It is not formatted yet.
    """
    body = "\n".join(_body(contents))
    needed = [each for each in definitions if _uses(body, _defined_name(each))]
    text = "\n".join([*needed, body])
    used = {each for each in imports if _uses(text, each.name or each.module.partition(".")[0])}
    ours = {_OURS, *([_PACE] if _uses(text, "Pace") else [])}
    parts = [
        _import_lines({*used, *ours}),
        *needed,
        f"ID = {_string(contents.id)}\nVERSION = {_string(__VERSION__)}\n"
        f"DESCRIPTION = {_string(contents.description)}\n",
        f"async def forwards():\n{body}\n",
    ]
    return "\n\n".join(parts)


def formatted(text: str) -> str:
    """Format the text of a file that people will read, which takes longer than to write it."""
    return black.format_str(text, mode=black.Mode(line_length=_LINE))


def _body(contents: MigrationDraft) -> Iterator[str]:
    app = _string(contents.app)
    yield (
        f"    manager = MigrationManager(migration_id=ID, app_name={app}, description=DESCRIPTION)"
    )
    if contents.online:
        yield "    manager.online()"
    yield ""
    for requirement in contents.requirements:
        yield f"    manager.require_no_rows(\n        {_string(requirement.words)},"
        direction = "\n        backwards=True," if requirement.backwards else ""
        yield f"        {_sql(requirement.query, 8)},{direction}\n    )"
    for early in contents.before:
        yield from _add_sql(early, before=True)
    if contents.online and contents.operations:
        yield "    with manager.done_in_sql():"
        yield from (f"        {each.text}" for each in contents.operations)
        yield ""
    else:
        yield from (f"    {each.text}" for each in contents.operations)
    if contents.operations:
        yield ""
    for step in contents.steps:
        yield from _backfill(step) if isinstance(step, BackfillStep) else _add_sql(step)
    yield "\n    return manager"


def _add_sql(step: SqlStep, *, before: bool = False) -> Iterator[str]:
    yield "    manager.add_sql("
    yield f"        forwards={_statements(step.forwards)},"
    yield f"        backwards={_statements(step.backwards)},"
    if before:
        yield "        before=True,"
    yield "    )"


def _backfill(step: BackfillStep) -> Iterator[str]:
    yield "    manager.backfill("
    yield f"        {_string(step.table)},"
    yield f"        {_string(step.forwards) if step.forwards else None},"
    for name in ("backwards", "where", "where_backwards"):
        if value := getattr(step, name):
            yield f"        {name}={_string(value)},"
    yield f"        pace={_PACE.name}(portion=0.05),"
    yield "    )"


def _statements(statements: tuple[str, ...]) -> str:
    if not statements:
        return "None"
    if len(statements) == 1:
        return _sql(statements[0], 8, named=True)
    listed = "".join(f"            {_sql(each, 12)},\n" for each in statements)
    return f"[\n{listed}        ]"


def _sql(statement: str, indent: int, *, named: bool = False) -> str:
    """Return a statement as a Python literal: a one-line string or a triple-quoted one.

    The statement reaches the server as it stands in the file. So it is indented only where
    indentation does not change its meaning, as it would in the body of a function.
    """
    if "\n" not in statement:
        return _string(statement)
    indented = textwrap.indent(statement, " " * (indent + 4 if named else indent))
    if not same_meaning(statement, indented):
        return f'"""\\\n{_escaped(statement)}"""'
    return f'"""\n{_escaped(indented)}\n{" " * indent}"""'


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('""', '\\"\\"')
    return f'{escaped[:-1]}\\"' if escaped.endswith('"') else escaped


def _string(text: str) -> str:
    return f'"{text}"' if '"' not in text and "\\" not in text else repr(text)


def _import_lines(imports: Collection[Imported]) -> str:
    groups: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for module, names in itertools.groupby(
        sorted(imports, key=_import_key), key=lambda i: i.module
    ):
        listed = list(names)
        lines = groups[_group(module)]
        if any(each.name is None for each in listed):
            lines.append(f"import {module}")
        if named := sorted((each.name for each in listed if each.name), key=_name_key):
            lines.append(f"from {module} import {', '.join(named)}")
    # isort's order: plain imports before from-imports.
    blocks = (sorted(lines, key=lambda line: line.startswith("from")) for lines in groups.values())
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _import_key(imported: Imported) -> tuple[str, str]:
    return imported.module, imported.name or ""


def _name_key(name: str) -> tuple[int, str]:
    """Sort as isort does: constants, classes, other names."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


def _group(module: str) -> int:
    first = module.partition(".")[0]
    return 2 if first in ("partman", "seeds") else 1 if first == "piccolo" else 0


def _defined_name(definition: str) -> str:
    [node] = ast.parse(definition).body
    return node.name if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""


def _uses(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
