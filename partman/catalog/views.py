"""Views, in the words of a newer PostgreSQL.

Before 16, PostgreSQL writes ``SELECT t.a FROM public.t``: it counts OLD and NEW, which every view
has, as two more tables, and therefore qualifies the columns where there is one table only. From
16 on it writes ``SELECT a FROM public.t``. Queries within the query are qualified by both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\s+|.""", re.DOTALL)
_QUERY = re.compile(r"\s*(SELECT|WITH|VALUES)\b")
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
_SEVERAL_QUERIES = ("UNION", "INTERSECT", "EXCEPT")
_NAME = re.compile(r'["\w]')


@dataclass(frozen=True)
class _Token:
    text: str
    depth: int
    """How many parentheses it is in."""
    within: bool
    """Whether it is in a query within the query."""


def without_qualifiers(definition: str) -> str:
    """Return what PostgreSQL 15 printed as a later one would."""
    tokens = list(_tokens(definition))
    clause = _from_clause(tokens)
    name = _only_table([tokens[n] for n in clause])
    qualifiers = {
        n
        for n, token in enumerate(tokens[:-2])
        if token.text == name
        and not token.within
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
            opened.append(bool(_QUERY.match(definition, match.end())))


def _from_clause(tokens: list[_Token]) -> range:
    """Return where the FROM clause of the query itself is."""
    top = [(n, token.text) for n, token in enumerate(tokens) if token.depth == 0]
    start = next((n for n, text in top if text == "FROM"), len(tokens))
    end = next((n for n, text in top if n > start and text in _AFTER_FROM), len(tokens))
    if any(text in _SEVERAL_QUERIES for _, text in top):
        return range(0)
    return range(start, end)


def _only_table(clause: list[_Token]) -> str | None:
    """Return the name that columns are qualified with, if there is only one table."""
    several = any(
        (token.text == "JOIN" and not token.within) or (token.text == "," and token.depth == 0)
        for token in clause
    )
    top = [token.text for token in clause if token.depth == 0]
    if "TABLESAMPLE" in top:
        top = top[: top.index("TABLESAMPLE")]
    names = [text for text in top if _NAME.match(text)]
    return None if several or not names else names[-1]
