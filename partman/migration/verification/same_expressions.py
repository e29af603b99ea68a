"""Find the expressions that mean the same and are printed differently.

PostgreSQL prints an expression as it has parsed it, so the same one has several forms: after
``CHECK (status IN ('a', 'b'))`` on a varchar it prints ``ANY ((ARRAY[...])::text[])``, and once
that is read in again, as by a restored dump, ``ANY (ARRAY[(...)::text, ...])``. No idea of our own
decides what is equal: PostgreSQL reads both sides in, and prints them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.model import Catalog, Object, Reference
from partman.catalog.python_defaults import mark_as_in
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.migration.verification.schema_copy import schema_copy
from partman.settings import Settings

_ROUNDS = 2
"""How often both sides are read in and printed again; one round is enough for most."""


@dataclass(frozen=True)
class Written:
    """What was found, with its expressions written as expected where they mean the same."""

    found: Catalog
    expected_copy: Catalog | None = None
    """What is expected, as a copy of it prints it; None if none was built."""


async def written_alike(scratch: Settings, expected: Catalog, found: Catalog) -> Catalog:
    """Return what write_alike() finds, without the copy."""
    return (await write_alike(scratch, expected, found)).found


async def write_alike(scratch: Settings, expected: Catalog, found: Catalog) -> Written:
    """Return ``found`` with the expressions written as in ``expected`` that mean the same.

    Builds nothing if no expression differs. ``scratch`` is the server to build the copies on.
    Raises the errors of scratch_database().
    """
    if not _differing(expected, found):
        return Written(found)
    async with (
        scratch_database(scratch) as settings,
        connected(settings, "partman: copy") as connection,
    ):
        sides = [[expected], [found]]
        for _ in range(_ROUNDS):
            for forms in sides:
                async with schema_copy(connection, forms[-1]) as copy:
                    forms.append(mark_as_in(copy.catalog, forms[0]))
            written = as_written_in(expected, found, sides[0], sides[1])
            left = _differing(expected, written)
            if not any(_is_new(forms, difference) for difference in left for forms in sides):
                break
    return Written(written, sides[0][1])


def _is_new(forms: Sequence[Catalog], difference: Difference) -> bool:
    """Whether the last form differs from the one before: the next one may, too."""
    return bool(_value(forms[-1], difference) != _value(forms[-2], difference))


def as_written_in(
    expected: Catalog,
    found: Catalog,
    expected_forms: Sequence[Catalog],
    found_forms: Sequence[Catalog],
) -> Catalog:
    """Return ``found`` with the expressions of ``expected`` that have a form in common with it.

    The forms of a side are its catalog and its copies.
    """
    values: dict[Reference, dict[str, Any]] = {}
    for difference in _differing(expected, found):
        assert difference.attribute is not None
        of_expected, of_found = (
            {_value(catalog, difference) for catalog in forms} - {None}
            for forms in (expected_forms, found_forms)
        )
        if of_expected & of_found:
            value = getattr(difference.expected, difference.attribute)
            values.setdefault(difference.reference, {})[difference.attribute] = value
    return _with_values(found, values)


def _with_values(catalog: Catalog, values: Mapping[Reference, Mapping[str, Any]]) -> Catalog:
    def changed(obj: Object) -> Object:
        return replace(obj, **values.get(obj.reference, {}))

    if not values:
        return catalog
    return replace(catalog, objects=tuple(map(changed, catalog.objects)))


def _value(catalog: Catalog, difference: Difference) -> Any:
    assert difference.attribute is not None
    return getattr(catalog.by_reference.get(difference.reference), difference.attribute, None)


def _differing(expected: Catalog, found: Catalog) -> list[Difference]:
    return [
        difference
        for difference in compare(expected, found)
        if difference.verdict is Verdict.DIFFERENT and _may_be_expressions(difference)
    ]


def _may_be_expressions(difference: Difference) -> bool:
    """Whether both values could be one expression in two forms.

    The forms of an expression differ in its casts and parentheses. A word, a number or a name has
    only one form: if copies do not differ in it, then because they lack it.
    """
    assert difference.attribute is not None
    texts = [
        _text(getattr(obj, difference.attribute)) for obj in (difference.expected, difference.found)
    ]
    return None not in texts and any(mark in text for text in texts if text for mark in ("(", "::"))


def _text(value: Any) -> str | None:
    """Return a value that may have expressions as text; None for another one."""
    if isinstance(value, tuple) and value and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    return value if isinstance(value, str) else None
