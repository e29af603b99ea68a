"""Find what cannot be written because of something else that cannot be."""

from collections.abc import Callable, Collection, Iterable, Iterator

from partman.catalog.ddl.change import Change
from partman.catalog.ddl.dependents import Transition
from partman.catalog.model import Catalog, Reference


def hanging_on(
    blocked: Collection[Reference], changes: Iterable[Change], transition: Transition
) -> set[Reference]:
    """Return what would fail while these objects are not created, or not dropped; and these.

    An object cannot be created before one that it needs, nor dropped before one that needs it.
    """
    expected, found = transition.expected, transition.found
    changed = {change.reference for change in changes}
    causes = transition.replaced | transition.needs_dependents_dropped
    stuck = {
        need.on
        for each in transition.replacement.stuck
        for need in found.needs.get(each, ())
        if need.on in causes
    }
    starts = {*blocked, *stuck}
    missing = {each for each in starts if transition.is_dropped(each, expected, found)}
    left = {each for each in starts if transition.is_dropped(each, found, expected)}
    not_dropped = {
        each for each in _below(left, found) if transition.is_dropped(each, found, expected)
    }
    return starts | ((_above(missing, expected) | not_dropped) & changed)


def in_circles(transition: Transition) -> set[Reference]:
    """Return the objects to be created or dropped that need each other."""
    expected, found = transition.expected, transition.found
    sides = ((expected, found), (found, expected))
    return {
        each
        for source, target in sides
        for each in transition.order(source).circles
        if transition.is_dropped(each, source, target)
    }


def _above(starts: Iterable[Reference], catalog: Catalog) -> set[Reference]:
    """Return all that needs one of the objects, with their parts."""

    def above(each: Reference) -> Iterator[Reference]:
        yield from (need.object for need in catalog.needed_by.get(each, ()))
        yield from (part.reference for part in catalog.by_parent.get(each, ()))

    return _reached(starts, above)


def _below(starts: Iterable[Reference], catalog: Catalog) -> set[Reference]:
    """Return all that one of the objects needs, with their parents."""

    def below(each: Reference) -> Iterator[Reference]:
        yield from (need.on for need in catalog.needs.get(each, ()))
        if (obj := catalog.by_reference.get(each)) and obj.parent is not None:
            yield obj.parent

    return _reached(starts, below)


def _reached(
    starts: Iterable[Reference], following: Callable[[Reference], Iterable[Reference]]
) -> set[Reference]:
    done: set[Reference] = set()
    waiting = list(starts)
    while waiting:
        each = waiting.pop()
        if each not in done:
            done.add(each)
            waiting += following(each)
    return done
