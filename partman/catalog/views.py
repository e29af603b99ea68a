"""Convert view definitions of PostgreSQL 15 to the form of newer versions.

Before 16, PostgreSQL prints ``SELECT t.a FROM public.t``: it counts OLD and NEW, which every view
has, as two more tables, and so qualifies columns even if there is only one table. From 16 on it
prints ``SELECT a FROM public.t``. Both qualify columns in subqueries.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\s+|.""", re.DOTALL)
_SUBQUERY = re.compile(r"\s*(SELECT|WITH|VALUES)\b")
_AFTER_FROM = (
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FOR",
    ";",
)
_SET_OPERATIONS = ("UNION", "INTERSECT", "EXCEPT")
_NAME = re.compile(r'["\w]')


@dataclass(frozen=True)
class _Token:
    text: str
    depth: int
    """The number of enclosing parentheses."""
    in_subquery: bool


def without_qualifiers(definition: str) -> str:
    """Return a definition printed by PostgreSQL 15 as later versions print it."""
    tokens = list(_tokens(definition))
    clause = _from_clause(tokens)
    name = _only_table([tokens[n] for n in clause])
    qualifiers = {
        n
        for n, token in enumerate(tokens[:-2])
        if token.text == name
        and not token.in_subquery
        and n not in clause
        and tokens[n + 1].text == "."
        and tokens[n + 2].text != "*"
    }
    dots = {n + 1 for n in qualifiers}
    return "".join(token.text for n, token in enumerate(tokens) if n not in qualifiers | dots)


def _tokens(definition: str) -> Iterator[_Token]:
    opened: list[bool] = []
    for match in _TOKEN.finditer(definition):
        text = match[0]
        if text == ")":
            opened.pop()
        yield _Token(text, len(opened), any(opened))
        if text == "(":
            opened.append(bool(_SUBQUERY.match(definition, match.end())))


def _from_clause(tokens: list[_Token]) -> range:
    """Return the token positions of the outer query's FROM clause."""
    top = [(n, token.text) for n, token in enumerate(tokens) if token.depth == 0]
    start = next((n for n, text in top if text == "FROM"), len(tokens))
    end = next((n for n, text in top if n > start and text in _AFTER_FROM), len(tokens))
    if any(text in _SET_OPERATIONS for _, text in top):
        return range(0)
    return range(start, end)


def _only_table(clause: list[_Token]) -> str | None:
    """Return the name that qualifies the columns if there is only one table, else None."""
    several = any(
        (token.text == "JOIN" and not token.in_subquery) or (token.text == "," and token.depth == 0)
        for token in clause
    )
    top = [token.text for token in clause if token.depth == 0]
    if "TABLESAMPLE" in top:
        top = top[: top.index("TABLESAMPLE")]
    names = [text for text in top if _NAME.match(text)]
    return None if several or not names else names[-1]
