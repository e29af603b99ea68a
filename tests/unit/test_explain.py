"""Errors of the server as one line."""

import asyncpg
import pytest
from asyncpg import PostgresError

from partman.database.explain import explain, explain_unexpected
from partman.errors import ExitCode


def test_detail_hint_and_position_appear_once() -> None:
    fields = {"C": "P0001", "M": "no", "D": "Why not.", "H": "Try this.", "P": "8"}
    message = str(explain(PostgresError.new(fields), "DO\n  nothing"))
    assert message.startswith("no. Detail: Why not. Hint: Try this (at character 8). The migration")
    assert message.endswith("The statement: DO nothing")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (asyncpg.ReadOnlySQLTransactionError("no"), ExitCode.PERMISSION),
        (asyncpg.InsufficientPrivilegeError("no"), ExitCode.PERMISSION),
        (asyncpg.ConnectionDoesNotExistError("no"), ExitCode.UNAVAILABLE),
        (asyncpg.AdminShutdownError("no"), ExitCode.UNAVAILABLE),
        (asyncpg.CrashShutdownError("no"), ExitCode.UNAVAILABLE),
        (asyncpg.InternalClientError("no"), ExitCode.UNAVAILABLE),
        (asyncpg.InterfaceError("connection is closed: no"), ExitCode.UNAVAILABLE),
        (ConnectionResetError("no"), ExitCode.UNAVAILABLE),
    ],
)
def test_operational_errors_are_explained(error: Exception, code: ExitCode) -> None:
    output = explain_unexpected(error)
    assert output is not None
    assert output.exit_code is code
    assert "no. Uncommitted changes were rolled back." in str(output)


@pytest.mark.parametrize(
    "error",
    [asyncpg.PostgresSyntaxError("no"), asyncpg.InterfaceError("no"), FileNotFoundError("no")],
)
def test_programming_errors_are_not_explained(error: Exception) -> None:
    assert explain_unexpected(error) is None
