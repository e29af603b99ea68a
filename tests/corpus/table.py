"""The table of all schemas, as the test run prints it and the documents show it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRIED, NOT_TRIED = "corpus tried", "corpus not tried"
"""The names under which a test passes a row, or a reason, to the end of the run."""

_HEADER = (
    "Schema",
    "Package",
    "Objects",
    "Statements",
    "Failed",
    "By hand",
    "Silent",
    "pg_dump",
    "Empty again",
    "Drift",
)


@dataclass(frozen=True)
class Row:
    """What was found about one schema."""

    name: str
    package: str
    objects: int
    statements: int
    failed: int
    unwritten: int
    silent: int
    unlike: int
    left: int
    drift: int
    seconds: float

    def cells(self) -> Sequence[str]:
        return (
            self.name,
            self.package,
            f"{self.objects:,}",
            f"{self.statements:,}",
            str(self.failed),
            str(self.unwritten),
            str(self.silent),
            _said(self.unlike, "identical"),
            _said(self.left, "yes"),
            str(self.drift),
        )


def encoded(row: Row) -> str:
    """Return a row as text, which passes from a worker of pytest-xdist to its controller."""
    return json.dumps(row.__dict__)


def decoded(text: str) -> Row:
    return Row(**json.loads(text))


def _said(differences: int, if_none: str) -> str:
    return if_none if differences == 0 else f"{differences} differ"


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the table, and a line of totals."""
    listed = sorted(rows, key=lambda row: row.name)
    lines = [
        _HEADER,
        ("---", "---", *["--:"] * (len(_HEADER) - 2)),
        *(row.cells() for row in listed),
    ]
    totals = Row(
        f"{len(listed)} schemas",
        "",
        *(
            sum(getattr(row, name) for row in listed)
            for name in Row.__dataclass_fields__
            if name not in ("name", "package")
        ),
    )
    lines.append(totals.cells())
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
