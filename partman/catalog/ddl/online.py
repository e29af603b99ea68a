"""Divide changes into commits, in forms that block other sessions only briefly.

Statements that are quick stay as they are. Statements that would scan a table under a strong lock
are replaced: an index is built concurrently, a constraint is added NOT VALID and validated
afterwards, a key is created from an index.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from partman.catalog.ddl import attributes, constraints, objects
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.requirements import RowRequirement, row_requirement
from partman.catalog.ddl.swap import Swap, swaps
from partman.catalog.ddl.text import SqlStyle, laid_out
from partman.catalog.model import Catalog, Constraint, Index, Object, Reference, Table


@dataclass(frozen=True)
class SqlStep:
    """Statements of one commit, for each direction."""

    forwards: tuple[str, ...] = ()
    backwards: tuple[str, ...] = ()
    table: str | None = None
    """The name of the table or other object that it changes; adjacent steps may be merged by it."""


@dataclass(frozen=True)
class SqlSteps:
    """All steps; they are reverted in reverse order."""

    steps: tuple[SqlStep, ...]
    is_online: bool
    """Whether some of them cannot run in one transaction."""
    requirements: tuple[RowRequirement, ...]
    """Conditions that the rows must satisfy beforehand."""


def is_slow(change: Change, existing: Collection[Reference]) -> bool:
    """Whether a change creates or drops an index or a constraint of an existing table."""
    obj = change.created or change.dropped
    return isinstance(obj, Index | Constraint) and obj.parent in existing


def steps(
    changes: Collection[Change], expected: Catalog, existing: Collection[Reference], style: SqlStyle
) -> SqlSteps:
    """Return the steps for changes, in the same order.

    ``existing`` are the tables that may have rows.
    """
    done: list[SqlStep] = []
    online = False
    requirements: list[RowRequirement] = []
    swapped = swaps(changes, expected) if existing else {}
    for change in changes:
        slow = []
        if is_slow(change, existing):
            swap = swapped.get(change.reference)
            if swap and change.created is None:
                continue  # it goes when the new one takes its place
            slow = list(_swap(swap, style) if swap else _slow_steps(change, expected, style))
        if not slow:
            _add(done, _plain_step(change))
            continue
        online = True
        done += slow
        if change.created and (needed := row_requirement(change.created, expected, style)):
            requirements.append(needed)
    return SqlSteps(tuple(done), online, tuple(requirements))


def _slow_steps(change: Change, expected: Catalog, style: SqlStyle) -> list[SqlStep]:
    """Return the online steps of a change; none if there is no such form."""
    obj = change.created or change.dropped
    slow = list(_slow(obj, expected, style)) if obj else []
    if not slow or obj is None:
        return []
    comment = (objects.comment(obj, style),) if obj.comment is not None else ()
    after = (*attributes.statements(obj, None, style), *comment)
    slow.append(SqlStep(forwards=after, table=slow[-1].table))
    if _goes_with_its_parent(change):
        slow = [replace(step, backwards=()) for step in slow]
    if change.created is None:
        slow = [SqlStep(step.backwards, step.forwards, step.table) for step in reversed(slow)]
    return [step for step in slow if step.forwards or step.backwards]


def _plain_step(change: Change) -> SqlStep:
    return SqlStep(change.forwards, change.backwards, about(change))


def about(change: Change) -> str:
    """Return the name of the table, function or other object that a change affects."""
    obj = change.created or change.dropped
    if isinstance(obj, Index):
        return obj.parent.name
    kind, name = change.reference
    name = name.rpartition(" on ")[2]
    return name.partition(" ")[2] if kind == "grant" else name


def _add(done: list[SqlStep], step: SqlStep) -> None:
    """Append a step, or merge it with the last one if both change the same table quickly."""
    if done and done[-1].table == step.table and not _is_slow_step(done[-1]):
        last = done.pop()
        step = SqlStep(
            (*last.forwards, *step.forwards), (*step.backwards, *last.backwards), step.table
        )
    done.append(step)


def _is_slow_step(step: SqlStep) -> bool:
    text = " ".join((*step.forwards, *step.backwards))
    return any(words in text for words in ("CONCURRENTLY", "VALIDATE", "NOT VALID", "USING INDEX"))


def _slow(obj: Object, expected: Catalog, style: SqlStyle) -> Iterator[SqlStep]:
    """Yield online steps that create an index or a constraint; none if there is no such form."""
    if isinstance(obj, Index) and obj.valid and not _is_partitioned(obj, expected):
        name = style(obj.name)
        yield SqlStep(
            (constraints.index(obj, style, concurrently=True),),
            (f"DROP INDEX CONCURRENTLY {name}",),
            obj.parent.name,
        )
    elif isinstance(obj, Constraint) and obj.valid and obj.enforced:
        if obj.is_key:
            # An index cannot become a key WITHOUT OVERLAPS.
            if not obj.period and not _is_partitioned(obj, expected):
                yield from _key_from_index(obj, style)
        elif obj.type == "CHECK" or (
            # Before PostgreSQL 18, a partitioned table has no key that is NOT VALID.
            obj.type == "FOREIGN KEY" and not _is_partitioned(obj, expected)
        ):
            yield from _add_and_validate(obj, style)


def _is_partitioned(obj: Index | Constraint, expected: Catalog) -> bool:
    """Whether an object belongs to a partitioned table, which has no index of its own to build.

    Its partitions' indexes and keys come first, and it takes them as they are.
    """
    table = expected.by_reference.get(obj.parent)
    return isinstance(table, Table) and table.partition_key is not None


def _goes_with_its_parent(change: Change) -> bool:
    """Whether an index or a key of a partition is dropped with that of the partitioned table."""
    obj = change.created or change.dropped
    statements = change.backwards if change.created else change.forwards
    return isinstance(obj, Index | Constraint) and obj.above is not None and not statements


def _add_and_validate(obj: Constraint, style: SqlStyle) -> Iterator[SqlStep]:
    table = f"ALTER TABLE {style(obj.parent.name)}"
    added = laid_out(
        f"{table} ADD CONSTRAINT {obj.name}",
        *_with_suffix(constraints.constraint(obj, style), "NOT VALID"),
    )
    yield SqlStep((added,), (f"{table} DROP CONSTRAINT {obj.name}",), obj.parent.name)
    yield SqlStep((f"{table} VALIDATE CONSTRAINT {obj.name}",), (), obj.parent.name)


def _swap(swap: Swap, style: SqlStyle) -> Iterator[SqlStep]:
    """Yield the steps that replace a constraint, with no moment without one."""
    table = style(swap.new.parent.name)
    new, old = (
        next(_add_and_validate(swap.beside(each), style)).forwards for each in (swap.new, swap.old)
    )
    validated = (f"ALTER TABLE {table} VALIDATE CONSTRAINT {swap.temporary}",)
    name, swapped = swap.new.parent.name, swap.statements(table)
    yield SqlStep(new, (*swapped, *_comment(swap.old, style)), name)
    yield SqlStep(validated, validated, name)
    yield SqlStep((*swapped, *_comment(swap.new, style)), old, name)


def _comment(obj: Constraint, style: SqlStyle) -> tuple[str, ...]:
    return (objects.comment(obj, style),) if obj.comment is not None else ()


def _with_suffix(clauses: list[str], suffix: str) -> list[str]:
    return [*clauses[:-1], f"{clauses[-1]} {suffix}"]


def _key_from_index(obj: Constraint, style: SqlStyle) -> Iterator[SqlStep]:
    table = style(obj.parent.name)
    on = [f"ON {table} ({', '.join(obj.columns)})", *constraints.included(obj)]
    if not obj.nulls_distinct:
        on.append("NULLS NOT DISTINCT")
    created = f"CREATE UNIQUE INDEX CONCURRENTLY {obj.name}"
    yield SqlStep(
        (laid_out(created, " ".join(on), *constraints.with_options(obj)),), (), obj.parent.name
    )
    added = f"ALTER TABLE {table} ADD CONSTRAINT {obj.name} {obj.type}"
    yield SqlStep(
        (laid_out(added, f"USING INDEX {obj.name}", *constraints.timing(obj)),),
        (f"ALTER TABLE {table} DROP CONSTRAINT {obj.name}",),
        obj.parent.name,
    )
