"""Reports in words, for pages: what the JSON of a report says with numbers and flags."""

from collections.abc import Mapping, Sequence
from typing import Any

from partman.plan.model import Level
from partman.wording import counted

Facts = Mapping[str, Any]

_MEANING = {
    "fails": "At least one migration fails. Correct it before you run the migrations.",
    "nothing pending": "There is nothing to run.",
    Level.SAFE_LIVE.title: "Other sessions do not wait.",
    Level.BRIEF_LOCK.title: "Other sessions wait for a moment, whatever the number of rows.",
    Level.BLOCKS_WRITES.title: "Writes wait for a time that grows with the number of rows.",
    Level.DEPENDS_ON_ROWS.title: "What it does depends on the rows. Read the SQL or the code.",
    Level.BLOCKS_READS.title: (
        "Reads and writes wait for a time that grows with the number of rows."
    ),
    Level.LOSES_DATA.title: "Rows or values of the database would be lost.",
}
"""What each verdict of a plan means for those who use the database."""

_SEVERITY = ("fails", *(level.title for level in sorted(Level, reverse=True)))


def verdict(migration: Facts) -> str:
    """Return the verdict on a planned migration: ``fails``, or its level."""
    return "fails" if migration["error"] else str(migration["level"])


def meaning(word: str) -> str:
    """Return what a verdict means for those who use the database."""
    return _MEANING[word]


def fails(plan: Facts) -> bool:
    """Whether a migration fails on the scratch database."""
    return overall(plan) == "fails"


def overall(plan: Facts) -> str:
    """Return the worst verdict of a plan."""
    found = [verdict(each) for each in plan["migrations"]]
    return min(found, key=_SEVERITY.index, default="nothing pending")


def worst_first(plan: Facts) -> list[Facts]:
    """Return the migrations of a plan by verdict, and those alike in the order of a run."""
    return sorted(plan["migrations"], key=lambda each: _SEVERITY.index(verdict(each)))


def tally(plan: Facts) -> list[tuple[str, int]]:
    """Return how many migrations have each verdict, the worst first."""
    found = [verdict(each) for each in worst_first(plan)]
    return [(each, found.count(each)) for each in dict.fromkeys(found)]


def loss(of: Facts) -> str:
    """Return as a sentence what a statement of a remedy takes away."""
    what = f"{of['kind']} {of['name']}"
    number, noun = of["number"], of["lost"].removesuffix("s")
    if number == 0 and not of["estimate"]:
        return f"Removes {what}, which has no {of['lost']}: nothing is lost."
    if number == 0:
        return f"Removes {what}, which had no {of['lost']} at its last ANALYZE."
    if number is None:
        return f"Loses an unknown number of {of['lost']} of {what}."
    return f"Loses {'about ' if of['estimate'] else ''}{counted(number, noun)} of {what}."


def losses(drift: Facts, *, harmless: bool) -> list[str]:
    """Return as sentences what the remedy takes away: what is lost, or what had no rows."""
    return [loss(each) for each in drift["losses"] if (each["number"] == 0) is harmless]


def groups(drift: Facts) -> list[tuple[str, list[Facts]]]:
    """Return the differences of a drift report: those about isolation first."""
    found: Sequence[Facts] = [*drift["differences"], *drift["pg_dump"]]
    first = [each for each in found if each.get("isolation")]
    others = [each for each in found if not each.get("isolation")]
    title = "Other differences" if first else "Differences"
    return [(name, of) for name, of in (("Tenant isolation", first), (title, others)) if of]
