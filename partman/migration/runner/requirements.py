"""What the rows of a database have to be like before a migration may begin."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from partman.errors import RequirementViolatedError
from partman.wording import counted

Fetch = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True)
class Requirement:
    """A rule that a migration is about to introduce."""

    rule: str
    """In words, as in "a probability is from 0 to 100"."""
    query: str
    """Lists the rows that violate it."""


async def refuse_violations(
    fetch: Fetch, requirements: Sequence[Requirement], migration: str
) -> None:
    """Look at all of them, and change nothing. Raises RequirementViolatedError."""
    violated = []
    for requirement in requirements:
        [found] = await fetch(f"SELECT count(*) FROM ({requirement.query}) AS violating")
        if count := found[0]:
            rows = counted(count, "row")
            verb = "violates" if count == 1 else "violate"
            violated.append(
                f"{requirement.rule}: {rows} {verb} this. To list: {requirement.query};"
            )
    if violated:
        listed = "\n".join(violated)
        raise RequirementViolatedError(
            f"{migration} introduces rules that rows of this database violate. Nothing was "
            f"changed. Correct or delete these rows, then run again.\n{listed}"
        )
