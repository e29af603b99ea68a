"""Statements that would go on outside of the tenant, on the tenant's connection.

A seat belt for whoever writes ``COMMIT`` in a ``tenant()`` block, not a wall: a DO block, for
one, is not looked into. What is injected into a value or an expression cannot be one of these:
the driver sends it as part of one statement.
"""

import re
from collections.abc import Iterator
from itertools import islice

from partman.errors import TenantLeavingError

_ENDS_IT = frozenset({"ABORT", "BEGIN", "COMMIT", "DISCARD", "END", "RESET", "START"})
_MAY_END_IT = frozenset({"PREPARE", "ROLLBACK", "SET"})
_ROLES = frozenset({"ROLE", "SESSION", "SESSION_AUTHORIZATION"})

_IGNORED = re.compile(r"[\s;]+|--[^\n]*")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_WORD = re.compile(r'\w+|"[^"]*"|.', re.DOTALL)


def refuse_leaving(sql: str) -> None:
    """Raise TenantLeavingError if the statement ends the transaction, or changes role or tenant.

    Also for DROP OWNED, which any role may run for itself: it would take away the policies by which
    all tenants reach their rows. Savepoints are welcome, as are ``SET LOCAL`` of other settings,
    ``SET TRANSACTION`` and ``SET CONSTRAINTS``.
    """
    words = _words(sql)
    first = next(words, "")
    if first == "DROP" and next(words, "") == "OWNED":
        raise TenantLeavingError(
            "DROP OWNED would drop the policies of all tenants, who would then see no rows. "
            "Nothing was sent. Drop objects one by one, in a migration."
        )
    if first in _ENDS_IT or (first in _MAY_END_IT and _leaves(first, list(islice(words, 3)))):
        raise TenantLeavingError(
            f"{first} would leave the tenant, and what comes after it would run outside. Nothing "
            "was sent. The block commits when it ends, and rolls back when an exception leaves "
            "it; to undo a part, use a savepoint: async with tenant(...) as transaction, then "
            "await transaction.savepoint(). For the time of the block, SET LOCAL sets other "
            "settings."
        )


def _leaves(first: str, others: list[str]) -> bool:
    if first == "PREPARE":
        return others[:1] == ["TRANSACTION"]
    if first == "ROLLBACK":
        target = [word for word in others if word not in {"WORK", "TRANSACTION"}]
        return target[:1] != ["TO"]
    match others:
        case ["TRANSACTION" | "CONSTRAINTS", *_]:
            return False
        case ["LOCAL", name, "=" | "TO"]:
            return name in _ROLES or not name.isidentifier()
    return True


def _words(sql: str) -> Iterator[str]:
    """Yield the words of a statement, in capitals; comments are none."""
    position = 0
    while position < len(sql):
        if ignored := _IGNORED.match(sql, position):
            position = ignored.end()
        elif sql.startswith("/*", position):
            position = _end_of_comment(sql, position)
        else:
            word = _WORD.match(sql, position)
            assert word is not None
            yield word[0].upper()
            position = word.end()


def _end_of_comment(sql: str, position: int) -> int:
    """PostgreSQL's comments nest."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(sql)
