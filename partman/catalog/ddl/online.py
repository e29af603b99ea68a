"""The forms of statements that nobody waits for, divided into commits.

What only takes a moment is done as it is. What reads the whole table while others wait is not: an
index is built concurrently, a constraint is believed first and validated afterwards, a key is
made from an index.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from partman.catalog.ddl import objects
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.requirements import RowRequirement, rule
from partman.catalog.ddl.text import Wording, laid_out
from partman.catalog.model import Catalog, Constraint, Index, Object, Reference, Table

_KEY = re.compile(
    r"(PRIMARY KEY|UNIQUE)(?: (NULLS NOT DISTINCT))? (\([^()]*\))(?: (INCLUDE \([^()]*\)))?"
    r"(?: (DEFERRABLE.*))?"
)


@dataclass(frozen=True)
class SqlStep:
    """What commits together, in each direction."""

    forwards: tuple[str, ...] = ()
    backwards: tuple[str, ...] = ()
    table: str | None = None
    """The name of what it is about, so that a reader finds together what belongs together."""


@dataclass(frozen=True)
class SqlSteps:
    """All steps, undone in the opposite order."""

    steps: tuple[SqlStep, ...]
    is_online: bool
    """Whether there are some that cannot run in one transaction."""
    rules: tuple[RowRequirement, ...]
    """What the rows have to be like before."""


def is_slow(change: Change, existing: Collection[Reference]) -> bool:
    """Whether it would let others wait, on one of the tables that rows can be in."""
    one = change.made or change.dropped
    return isinstance(one, Index | Constraint) and one.parent in existing


def steps(
    changes: Collection[Change], expected: Catalog, existing: Collection[Reference], say: Wording
) -> SqlSteps:
    """Return the steps for changes, in the same order.

    ``existing`` are the tables that rows can be in.
    """
    done: list[SqlStep] = []
    online = False
    rules: list[RowRequirement] = []
    for change in changes:
        one = change.made or change.dropped
        slow = list(_slow(one, expected, say)) if one and is_slow(change, existing) else []
        if not slow:
            _add(done, _at_once(change))
            continue
        online = True
        comment = (objects.comment(one, say),) if one and one.comment is not None else ()
        slow.append(SqlStep(forwards=comment, table=slow[-1].table))
        if change.made is None:
            slow = [SqlStep(step.backwards, step.forwards, step.table) for step in reversed(slow)]
        elif needed := rule(one, expected, say):
            rules.append(needed)
        done += [step for step in slow if step.forwards or step.backwards]
    return SqlSteps(tuple(done), online, tuple(rules))


def _at_once(change: Change) -> SqlStep:
    return SqlStep(change.forwards, change.backwards, about(change))


def about(change: Change) -> str:
    """Return the name of the table, the function or the like that a change is about."""
    one = change.made or change.dropped
    if isinstance(one, Index):
        return one.parent.name
    kind, name = change.reference
    name = name.rpartition(" on ")[2]
    return name.partition(" ")[2] if kind == "grant" else name


def _add(done: list[SqlStep], step: SqlStep) -> None:
    """Let what is about the same table commit together."""
    if done and done[-1].table == step.table and not _is_slow_step(done[-1]):
        last = done.pop()
        step = SqlStep(
            (*last.forwards, *step.forwards), (*step.backwards, *last.backwards), step.table
        )
    done.append(step)


def _is_slow_step(step: SqlStep) -> bool:
    text = " ".join((*step.forwards, *step.backwards))
    return any(words in text for words in ("CONCURRENTLY", "VALIDATE", "NOT VALID", "USING INDEX"))


def _slow(one: Object, expected: Catalog, say: Wording) -> Iterator[SqlStep]:
    """Return the steps that make an index or a constraint; nothing if there is no such form."""
    if isinstance(one, Index) and one.valid and not _is_divided(one, expected):
        name = say(one.name)
        yield SqlStep(
            (objects.index(one, say, concurrently=True),),
            (f"DROP INDEX CONCURRENTLY {name}",),
            one.parent.name,
        )
    elif isinstance(one, Constraint) and one.valid and one.enforced:
        if key := _KEY.fullmatch(say(one.definition)):
            if not _is_divided(one, expected):
                yield from _key(one, key, say)
        elif one.definition.startswith(("CHECK", "FOREIGN KEY")):
            yield from _believed(one, say)


def _is_divided(one: Index | Constraint, expected: Catalog) -> bool:
    table = expected.by_reference.get(one.parent)
    return isinstance(table, Table) and bool(table.partition_key or table.partition_bound)


def _believed(one: Constraint, say: Wording) -> Iterator[SqlStep]:
    table = f"ALTER TABLE {say(one.parent.name)}"
    added = laid_out(
        f"{table} ADD CONSTRAINT {one.name}", *_with_last(objects.constraint(one, say), "NOT VALID")
    )
    yield SqlStep((added,), (f"{table} DROP CONSTRAINT {one.name}",), one.parent.name)
    yield SqlStep((f"{table} VALIDATE CONSTRAINT {one.name}",), (), one.parent.name)


def _with_last(clauses: list[str], word: str) -> list[str]:
    return [*clauses[:-1], f"{clauses[-1]} {word}"]


def _key(one: Constraint, key: re.Match[str], say: Wording) -> Iterator[SqlStep]:
    kind, nulls, columns, include, deferrable = key.groups()
    table = say(one.parent.name)
    yield SqlStep(
        (
            laid_out(
                f"CREATE UNIQUE INDEX CONCURRENTLY {one.name}",
                " ".join(filter(None, (f"ON {table} {columns}", include, nulls))),
            ),
        ),
        (),
        one.parent.name,
    )
    added = f"ALTER TABLE {table} ADD CONSTRAINT {one.name} {kind}"
    yield SqlStep(
        (laid_out(added, f"USING INDEX {one.name}", deferrable),),
        (f"ALTER TABLE {table} DROP CONSTRAINT {one.name}",),
        one.parent.name,
    )
