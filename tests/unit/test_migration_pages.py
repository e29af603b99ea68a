"""What the pages about migrations say of a plan and of a drift report."""

from typing import Any

import pytest

from partman.plan.model import Level
from partman.serve.migrations import words
from partman.serve.migrations.lock_chart import held_locks

pytestmark = pytest.mark.same_on_every_version


def statement(transaction: str | None, *locks: tuple[str, str], work: str = "") -> dict[str, Any]:
    """A statement of a plan's JSON that took 10 ms."""
    return {
        "transaction": transaction,
        "duration": 0.01,
        "locks": [{"table": table, "index": None, "mode": mode} for table, mode in locks],
        "work": [{"kind": "scans", "table": work, "of": []}] if work else [],
    }


def test_a_lock_is_held_to_the_end_of_its_transaction() -> None:
    held = held_locks(
        [
            statement("1/1", ("a", "SHARE"), ("b", "ACCESS SHARE")),
            statement("1/1", ("b", "ACCESS EXCLUSIVE"), ("c", "SHARE"), work="b"),
            statement("1/1"),
            statement(None, ("a", "SHARE UPDATE EXCLUSIVE"), work="a"),
            statement("1/2", ("a", "ROW EXCLUSIVE")),
        ]
    )
    assert [(lock.on, lock.tone, lock.first, lock.last, lock.work) for lock in held] == [
        ("a", "writes", 1, 3, ("scans b",)),
        ("b", "reads", 2, 3, ("scans b",)),
        ("c", "writes", 2, 3, ("scans b",)),
        ("a", "ddl", 4, 4, ("scans a",)),
        ("a", "ddl", 5, 5, ()),
    ]
    assert [round(lock.seconds * 1000) for lock in held] == [30, 20, 20, 10, 10]


def migration(name: str, level: Level, error: str | None = None) -> dict[str, Any]:
    return {"id": name, "level": level.title, "error": error}


def test_a_plan_is_as_bad_as_its_worst_migration() -> None:
    levels = [Level.BRIEF_LOCK, Level.LOSES_DATA, Level.SAFE_LIVE, Level.BRIEF_LOCK]
    plan = {"migrations": [migration(str(number), each) for number, each in enumerate(levels)]}
    assert words.overall(plan) == "loses data"
    assert [each["id"] for each in words.worst_first(plan)] == ["1", "0", "3", "2"]
    assert words.tally(plan) == [("loses data", 1), ("brief lock", 2), ("safe live", 1)]
    plan["migrations"].append(migration("4", Level.SAFE_LIVE, "wrong"))
    assert words.overall(plan) == "fails"
    assert words.overall({"migrations": []}) == "nothing pending"


@pytest.mark.parametrize("verdict", ["fails", "nothing pending", *(level.title for level in Level)])
def test_each_verdict_has_a_meaning(verdict: str) -> None:
    assert words.meaning(verdict).endswith(".")


@pytest.mark.parametrize(
    ("number", "estimate", "sentence"),
    [
        (0, False, "Removes column t.c, which has no values: nothing is lost."),
        (0, True, "Removes column t.c, which had no values at its last ANALYZE."),
        (1, False, "Loses 1 value of column t.c."),
        (2000, True, "Loses about 2,000 values of column t.c."),
        (None, False, "Loses an unknown number of values of column t.c."),
    ],
)
def test_a_loss_is_told_in_words(number: int | None, estimate: bool, sentence: str) -> None:
    loss = {"kind": "column", "name": "t.c", "lost": "values"}
    assert words.loss(loss | {"number": number, "estimate": estimate}) == sentence
