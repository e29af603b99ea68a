"""Generate the changes that surround a column: its default and identity, and who owns a sequence.

They are separate from the column where something is created or dropped in between: a function that
the default calls and that needs the table, or a sequence that belongs to the column.
"""

from collections.abc import Iterator

from partman.catalog.ddl import grants, objects, sequences
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import Transition
from partman.catalog.ddl.order import OrderKey
from partman.catalog.model import Catalog, Column, Reference, Sequence

_Changes = Iterator[tuple[OrderKey, Change]]


def changes(
    transition: Transition, source: Catalog, target: Catalog, *, forwards: bool
) -> _Changes:
    """Yield what completes the columns and sequences of ``source``, or takes it away before."""
    for key, change in (
        *_defaults(transition, source, target),
        *_owned_sequences(transition, source, target),
        *_made_sequences(transition, source, target),
    ):
        done, undone = change.forwards, change.backwards
        if forwards:
            yield key, change
        else:
            yield key, Change(change.reference, undone, done, is_early=True)


def _defaults(transition: Transition, source: Catalog, target: Catalog) -> _Changes:
    order = transition.order(source)
    for reference in transition.defaults_apart | order.late_defaults:
        obj = source.by_reference.get(reference)
        if not isinstance(obj, Column):
            continue
        is_late = transition.is_created_with_parent(obj, source, target)
        if not is_late and reference not in transition.defaults_apart:
            continue
        done = sequences.default(obj, source, transition.style)
        undone = sequences.no_default(obj)
        begin = f"ALTER TABLE {transition.style(obj.parent.name)} ALTER COLUMN {obj.name}"
        if done and undone:
            yield (
                order.default(reference),
                Change(reference, (f"{begin} {done}",), (f"{begin} {undone}",)),
            )


def _owned_sequences(transition: Transition, source: Catalog, target: Catalog) -> _Changes:
    keys, style = transition.keys(source), transition.style
    for obj in source.of(Sequence):
        if obj.owned_by is None or obj.identity:
            continue
        if transition.is_created_with_parent(obj, source, target):
            continue
        before = target.by_reference.get(obj.reference)
        is_kept = not transition.is_dropped(obj.reference, source, target)
        if is_kept and isinstance(before, Sequence) and before.owned_by == obj.owned_by:
            continue
        column = Reference("column", obj.owned_by)
        owned = sequences.owned_by(obj, style, column=obj.owned_by)
        free = sequences.owned_by(obj, style, column=None)
        key = (*max(keys[obj.reference], keys[column]), 2)
        yield key, Change(obj.reference, (owned,), (free,))


def _made_sequences(transition: Transition, source: Catalog, target: Catalog) -> _Changes:
    """Yield the comments and grants of sequences that columns have created."""
    keys, style = transition.keys(source), transition.style
    for obj in source.of(Sequence):
        is_new = transition.is_dropped(obj.reference, source, target)
        if not is_new or not transition.is_created_with_parent(obj, source, target):
            continue
        comments = () if obj.comment is None else (objects.comment(obj, style),)
        statements = (*comments, *grants.of_new(obj, source, style))
        assert obj.parent is not None
        yield (*keys[obj.parent], 3), Change(obj.reference, statements, ())
