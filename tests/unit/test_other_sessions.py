"""What a message says of a session that is in the way."""

from typing import Any

import pytest

from partman.database import other_sessions
from partman.database.other_sessions import in_the_way

pytestmark = pytest.mark.same_on_every_version

ROW: dict[str, Any] = {
    "pid": 7,
    "owner": "ada",
    "application": "a report",
    "address": "10.0.0.5",
    "state": "idle in transaction",
    "seconds": 190.0,
    "begun": None,
    "open_for": None,
    "statement": "SELECT\n 1",
    "locks": "AccessShareLock on busy\nrows that it has changed",
    "waits_for": "",
    "is_hidden": False,
    "is_autovacuum": False,
    "progress": None,
    "me": "migrator",
    "may_end": True,
}
END = "To end it, which rolls its work back: SELECT pg_terminate_backend(7);"


def _said(*changes: dict[str, Any]) -> str:
    return in_the_way([other_sessions._session(ROW | each, 1) for each in changes])  # type: ignore[arg-type]


def test_a_session_is_described_with_all_that_is_known_of_it() -> None:
    assert _said({}) == (
        "In the way: pid 7 (a report), user ada, from 10.0.0.5, idle in transaction for 3 min, "
        "holding access share on busy, holding rows that it has changed, "
        f"last statement: SELECT 1. {END}"
    )


def test_autovacuum_is_not_to_be_ended() -> None:
    said = _said(
        {
            "is_autovacuum": True,
            "owner": None,
            "state": "active",
            "statement": "autovacuum: VACUUM busy (to prevent wraparound)",
            "progress": "scanning heap, 3 of 40 blocks",
        }
    )
    assert said.startswith("In the way: pid 7 (autovacuum), from ")
    assert "scanning heap, 3 of 40 blocks" in said
    assert "(to prevent wraparound)" in said
    assert "Autovacuum gives way by itself" in said
    assert "pg_terminate_backend" not in said


def test_of_many_some_are_described_and_all_can_be_ended() -> None:
    said = _said(*({"pid": pid} for pid in range(1, 6)))
    assert "; and 2 more. To end them, which rolls their work back: " in said
    assert said.count("pg_terminate_backend") == 5


def test_one_that_waits_itself_is_not_to_be_ended() -> None:
    said = _said({}, {"pid": 8, "waits_for": "7"})
    assert "waiting for pid 7" in said
    assert said.endswith(END)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-0.1, "0.0 s"), (59.94, "59.9 s"), (60, "1 min"), (3599, "59 min"), (7320, "2 h 2 min")],
)
def test_durations_have_one_unit_or_two(seconds: float, said: str) -> None:
    assert f"idle in transaction for {said}," in _said({"seconds": seconds})
