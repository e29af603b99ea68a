"""What a case of the audit is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One way to lose a protection."""

    rule: str
    breaking: str
    object: str
    also: frozenset[str] = frozenset()
    """Other rules that rightly see something in it."""
    superuser: bool = False
    """Whether only a superuser can do it, and undo it."""
    since: int = 15
    """The first PostgreSQL that has it."""

    @property
    def name(self) -> str:
        return f"{self.rule}: {' '.join(self.breaking.split())[:90]}"
