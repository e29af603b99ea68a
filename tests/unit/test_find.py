"""Which migration is meant by an ID, or by the beginning of one."""

import pytest

from partman.errors import UnknownMigrationError
from partman.migration.ledger.find import find
from partman.migration.ledger.identity import MigrationKey

KNOWN = [
    MigrationKey("shop", "2026-01-01"),
    MigrationKey("shop", "2026-01-01b"),
    MigrationKey("shop", "2026-02-01"),
    MigrationKey("blog", "2026-02-01"),
    *(MigrationKey("blog", f"2026-03-0{day}") for day in range(1, 6)),
]


@pytest.mark.parametrize(
    ("text", "app", "expected"),
    [
        ("2026-03-01", None, ("blog", "2026-03-01")),
        ("2026-01-01", None, ("shop", "2026-01-01")),
        ("2026-01-01b", None, ("shop", "2026-01-01b")),
        ("2026-02-01", "blog", ("blog", "2026-02-01")),
        ("2026-02", "shop", ("shop", "2026-02-01")),
    ],
)
def test_it_is_the_one_with_the_id_or_the_only_one_that_begins_so(
    text: str, app: str | None, expected: tuple[str, str]
) -> None:
    assert find(KNOWN, text, "Nothing was run.", app=app) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "2026-02-01",
            "Several apps have a migration 2026-02-01. Nothing was run. Name the app: shop, blog",
        ),
        (
            "2026-03",
            "5 migrations begin with 2026-03: 2026-03-01, 2026-03-02, 2026-03-03 and 2 more. "
            "Nothing was run. Write more of the ID.",
        ),
        (
            "2062-01-01",
            "There is no migration 2062-01-01. Nothing was run. Did you mean 2026-01-01? List them "
            "with: partman status",
        ),
        (
            "nothing",
            "There is no migration nothing. Nothing was run. List them with: partman status",
        ),
    ],
)
def test_otherwise_it_says_why_not(text: str, expected: str) -> None:
    with pytest.raises(UnknownMigrationError) as caught:
        find(KNOWN, text, "Nothing was run.")
    assert str(caught.value) == expected
