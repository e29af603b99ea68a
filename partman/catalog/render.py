"""Render differences as lines of text: the object, what is expected, what was found."""

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from partman.catalog.compare import Difference
from partman.catalog.model import (
    Attachment,
    Column,
    Composite,
    Constraint,
    DefaultGrant,
    Domain,
    Enum,
    Grant,
    Object,
    Policy,
    Privilege,
)

_INDENT = "    "


def lines(differences: Iterable[Difference]) -> Iterator[str]:
    """Yield a headline for each difference, followed by indented details."""
    for difference in differences:
        yield headline(difference)
        expected, found = sides(difference)
        if expected and found and "\n" in expected + found:
            yield from _line_by_line(expected, found)
            continue
        for label, text in (("expected", expected), ("found", found)):
            if text is not None:
                first, *more = text.strip().splitlines() or [""]
                yield f"{_INDENT}{label + ':':<9} {first}".rstrip()
                yield from (f"{_INDENT}{'':<9} {line}".rstrip() for line in more)


def headline(difference: Difference) -> str:
    """Return the verdict, the object and the attribute."""
    about = f"{difference.verdict:<9} {difference.reference}"
    return f"{about}: {difference.attribute}" if difference.attribute else about


def sides(difference: Difference) -> tuple[str | None, str | None]:
    """Return what is expected and what was found, as text.

    None for the side that does not have the object, and for an object without details.
    """
    if difference.attribute is None:
        return describe(difference.expected), describe(difference.found)
    words: Callable[[Any], str]
    words = privileges if difference.attribute == "privileges" else _words
    expected: Any = getattr(difference.expected, difference.attribute, None)
    found: Any = getattr(difference.found, difference.attribute, None)
    return words(expected), words(found)


def describe(obj: Object | None) -> str | None:
    """Return an object's details in SQL; None if it has none beside its name."""
    match obj:
        case Column():
            return _column(obj)
        case Domain():
            return _domain(obj)
        case Enum():
            return _words(obj.labels)
        case Composite():
            return _words(obj.attributes)
        case Policy():
            return _policy(obj)
        case Grant() | DefaultGrant():
            return privileges(obj.privileges)
        case Constraint():
            return obj.definition + ("" if obj.valid else " NOT VALID")
    text: str | None
    text = getattr(obj, "bound" if isinstance(obj, Attachment) else "definition", None)
    return text


def privileges(granted: Iterable[Privilege]) -> str:
    """Return privileges as in GRANT: ``SELECT, UPDATE (name, website)``."""
    columns: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for privilege in sorted(granted):
        columns[privilege.grantable, privilege.name].append(privilege.column)
    texts: dict[bool, list[str]] = {False: [], True: []}
    for (grantable, name), of in columns.items():
        if "" in of:
            texts[grantable].append(name)
        if named := [column for column in of if column]:
            texts[grantable].append(f"{name} ({', '.join(named)})")
    parts = [", ".join(texts[False])] if texts[False] else []
    if texts[True]:
        parts.append(f"{', '.join(texts[True])} WITH GRANT OPTION")
    return "; ".join(parts) or "nothing"


def _words(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(map(str, value)) or "none"
    return str(value)


def _column(column: Column) -> str:
    words = [column.type]
    if column.collation:
        words.append(f"COLLATE {column.collation}")
    if column.null != "NULL":
        words.append(column.null)
    if column.default is not None:
        words.append(f"DEFAULT {column.default}")
    if column.identity:
        words.append(f"GENERATED {column.identity} AS IDENTITY")
    if column.generated:
        expression, _, how = column.generated.rpartition(" ")
        words.append(f"GENERATED ALWAYS AS ({expression}) {how}")
    return " ".join(words)


def _domain(domain: Domain) -> str:
    words = [domain.type]
    if domain.collation:
        words.append(f"COLLATE {domain.collation}")
    if domain.not_null:
        words.append("NOT NULL")
    if domain.default is not None:
        words.append(f"DEFAULT {domain.default}")
    return " ".join(words)


def _policy(policy: Policy) -> str:
    words = "AS PERMISSIVE" if policy.permissive else "AS RESTRICTIVE"
    words += f" FOR {policy.command} TO {', '.join(policy.roles)}"
    if policy.using is not None:
        words += f" USING ({policy.using})"
    if policy.check is not None:
        words += f" WITH CHECK ({policy.check})"
    return words


def _line_by_line(expected: str, found: str) -> Iterator[str]:
    """Yield a unified diff of a long text: expected is -, found is +."""
    changes = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "expected", "found", lineterm="", n=2
    )
    yield from (f"{_INDENT}{line}".rstrip() for line in changes if not line.startswith("@@"))
