"""Check the rows of a database before a migration begins."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from partman.errors import RequirementViolatedError
from partman.wording import counted

Fetch = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True)
class Requirement:
    """A rule that all rows must satisfy before a migration may run."""

    rule: str
    """A sentence such as "a probability is from 0 to 100"."""
    query: str
    """Selects the rows that violate it."""
    backwards: bool = False
    """Whether it is for the way back, and not for the way forwards."""


async def refuse_violations(
    fetch: Fetch, requirements: Sequence[Requirement], migration: str
) -> None:
    """Raise RequirementViolatedError if rows violate any of the requirements."""
    violated = []
    for requirement in requirements:
        [found] = await fetch(f"SELECT count(*) FROM (\n{requirement.query}\n) AS violating")
        if count := found[0]:
            rows = counted(count, "row")
            verb = "violates" if count == 1 else "violate"
            violated.append(
                f"{requirement.rule}: {rows} {verb} this. List them with: {requirement.query};"
            )
    if violated:
        listed = "\n".join(violated)
        raise RequirementViolatedError(
            f"{migration} has requirements that existing rows violate. Nothing was changed. "
            f"Correct or delete these rows, then run the migrations again.\n{listed}"
        )
