"""How two databases differ, printed and as JSON; the same for every command."""

import difflib
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partman.cli import look
from partman.cli.look import Block

if TYPE_CHECKING:
    from partman.catalog.compare import Difference
    from partman.migration.verification.comparison import Beyond, Comparison
    from partman.migration.verification.dump_comparison import DumpDifference
    from partman.migration.verification.losses import Loss
    from partman.migration.verification.tried_remedy import ByHand, OfferedStatement, TriedRemedy

Strict = Annotated[
    bool,
    typer.Option("--strict", help="Exit with 1 also if something could not be compared."),
]

_INDENT = "    "
_STYLES = {"missing": look.BAD, "different": look.BAD, "extra": look.WARNING}


def blocks(differences: "Sequence[Difference]") -> Iterator[Block]:
    """Yield each difference, with what is expected and what was found."""
    from partman.catalog.render import lines

    for difference in differences:
        first, *details = lines([difference])
        yield _headed(first)
        yield from map(look.Verbatim, details)


def beyond(comparison: "Comparison") -> Iterator[Block]:
    """Yield what pg_dump sees beside the catalogs."""
    for each in comparison.beyond.differences:
        yield _headed(_headline(each), "pg_dump also sees: ")
        yield from (look.Verbatim(f"{_INDENT}{line}") for line in _changes(each))


def not_compared(comparison: "Comparison") -> Iterator[Block]:
    """Yield what nothing has compared."""
    for each in comparison.beyond.not_compared:
        yield look.Prose((("Not compared: ", look.WARNING), (each, look.PLAIN)), hanging=2)


def remedy(comparison: "Comparison") -> Iterator[Block]:
    """Yield the SQL that was tried, marked where it loses data, and what is to do by hand."""
    tried = comparison.remedy
    if tried.statements:
        how = "not tried" if tried.not_tried else "tried on a copy of this schema"
        yield look.said(
            f"SQL to reach the expected state, {how}; nothing was run on this database:"
        )
        yield look.BLANK
        for statement in tried.statements:
            yield from _statement(statement)
        yield look.BLANK
    for each in tried.by_hand:
        yield from _by_hand(each)
    if tried.not_tried:
        yield look.said(f"Not tried, as there is no copy of this schema: {tried.not_tried}")
    if tried.copy_lacks:
        yield look.said(f"The copy of this schema lacks: {', '.join(map(str, tried.copy_lacks))}")


def facts(differences: "Sequence[Difference]") -> list[dict[str, Any]]:
    """Return differences for JSON."""
    from partman.migration.verification.isolation_first import Isolation

    isolation = Isolation.of_project()
    return [
        _facts(difference) | {"isolation": isolation.concerns(difference)}
        for difference in differences
    ]


def beyond_facts(found: "Beyond") -> dict[str, Any]:
    """Return, for JSON, what is not in the catalogs."""
    return {
        "pg_dump": [
            {
                "verdict": _verdict(each),
                "kind": each.identity.kind,
                "schema": each.identity.schema,
                "name": each.identity.name,
                "expected": each.expected,
                "found": each.found,
            }
            for each in found.differences
        ],
        "not_compared": list(found.not_compared),
    }


def remedy_facts(remedy: "TriedRemedy") -> dict[str, Any]:
    """Return the remedy for JSON."""
    return {
        "sql": [statement.sql for statement in remedy.statements],
        "losses": [
            {"sql": statement.sql, **_loss_facts(statement.loss)}
            for statement in remedy.all_statements
            if statement.loss is not None
        ],
        "by_hand": [
            {
                "object": str(each.reference),
                "reason": each.reason,
                "tried": each.tried,
                "sql": [statement.sql for statement in each.statements],
            }
            for each in remedy.by_hand
        ],
        "not_tried": remedy.not_tried,
        "copy_lacks": [str(reference) for reference in remedy.copy_lacks],
    }


def scratch_facts(note: str | None) -> list[dict[str, str]]:
    """Return, for JSON, what the scratch databases could not have of the live one."""
    return [{"kind": "scratch", "message": note}] if note else []


def _headed(headline: str, before: str = "") -> Block:
    """Return the first line of a difference, with its verdict coloured."""
    verdict, _, rest = headline.partition(" ")
    style = _STYLES.get(verdict, look.PLAIN)
    return look.Prose(((before, look.PLAIN), (verdict, style), (f" {rest}", look.PLAIN)), hanging=4)


def _by_hand(each: "ByHand") -> Iterator[Block]:
    how = "By hand" if each.tried else "By hand, not tried"
    yield look.Prose(
        ((f"{how}: ", look.WARNING), (f"{each.reference}: {each.reason}", look.PLAIN)), hanging=2
    )
    for statement in each.statements:
        yield from _statement(statement, _INDENT)


def _statement(statement: "OfferedStatement", indent: str = "") -> Iterator[Block]:
    if statement.loss is not None:
        yield look.Verbatim(f"{indent}-- LOSES DATA: {statement.loss}", look.BAD)
    yield look.Verbatim(textwrap.indent(f"{statement.sql};", indent))


def _loss_facts(loss: "Loss") -> dict[str, Any]:
    return {
        "kind": loss.reference.kind,
        "name": loss.reference.name,
        "lost": f"{loss.noun}s",
        "number": loss.number,
        "estimate": loss.is_estimate,
    }


def _facts(difference: "Difference") -> dict[str, Any]:
    from partman.catalog.render import sides

    expected, found = sides(difference)
    return {
        "verdict": difference.verdict,
        "kind": difference.reference.kind,
        "name": difference.reference.name,
        "attribute": difference.attribute,
        "expected": expected,
        "found": found,
    }


def _verdict(each: "DumpDifference") -> str:
    if each.found is None:
        return "missing"
    return "extra" if each.expected is None else "different"


def _headline(each: "DumpDifference") -> str:
    return f"{_verdict(each)} {each.identity}"


def _changes(each: "DumpDifference") -> Iterator[str]:
    """Yield the lines that differ: expected is -, found is +."""
    expected, found = ((side or "").splitlines() for side in (each.expected, each.found))
    lines = difflib.unified_diff(expected, found, lineterm="", n=0)
    yield from (line for line in lines if not line.startswith(("---", "+++", "@@")))
