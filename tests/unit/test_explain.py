"""What the server said of a statement, in one line."""

from asyncpg import PostgresError

from partman.database.explain import explain


def test_detail_hint_and_position_are_each_said_once() -> None:
    fields = {"C": "P0001", "M": "no", "D": "Why not.", "H": "Try this.", "P": "8"}
    said = str(explain(PostgresError.new(fields), "DO\n  nothing"))
    assert said.startswith("no. Detail: Why not. Hint: Try this (at character 8). The migration")
    assert said.endswith("The statement: DO nothing")
    assert "\n" not in said
