"""Real sequences of migrations: the SQL of each, in the order in which its own tool runs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.corpus.schemas import SCHEMAS
from tests.corpus.tools import django_migrations

Steps = Sequence[tuple[str, str]]
"""Names and SQL of migrations."""


@dataclass(frozen=True)
class MigrationSequence:
    """A sequence of migrations of a package."""

    name: str
    read: Callable[[], Steps]
    """Returns the steps. Raises NotToBeHadError."""
    roles: Sequence[str] = ()
    quick: bool = False
    """Whether the gate tries it too."""


def _of_files(name: str) -> MigrationSequence:
    """Return the files of a schema as one migration each."""
    [schema] = [each for each in SCHEMAS if each.name == name]
    return MigrationSequence(name, lambda: list(schema.steps()), schema.roles, schema.quick)


def _kea() -> Steps:
    """Divide the file, which begins with the first version, where its upgrades begin."""
    [schema] = [each for each in SCHEMAS if each.name == "kea"]
    [(_, sql)] = schema.steps()
    versions: list[list[str]] = [[]]
    for line in sql.splitlines():
        if line.startswith("-- Upgrade to schema"):
            versions.append([])
        # A migration is one transaction anyway.
        if line.strip() not in {"START TRANSACTION;", "COMMIT;"}:
            versions[-1].append(line)
    return [(f"version_{number}", "\n".join(lines)) for number, lines in enumerate(versions, 1)]


SEQUENCES = [
    _of_files("procrastinate-migrations"),
    _of_files("graphile-worker"),
    _of_files("message-db"),
    _of_files("workflow"),
    MigrationSequence("django", django_migrations, quick=True),
    MigrationSequence("kea", _kea),
]
