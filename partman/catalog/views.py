"""Convert view definitions of PostgreSQL 15 to the form of newer versions.

Before 16, PostgreSQL prints ``SELECT t.a FROM public.t``: it counts OLD and NEW, which every view
has, as two more tables, and so qualifies columns even if there is only one table. From 16 on it
prints ``SELECT a FROM public.t``. Both qualify columns in subqueries.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from partman.grammar.tokens import Token, scan

_QUERIES = ("SELECT", "WITH", "VALUES")
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


@dataclass(frozen=True)
class _Token:
    token: Token
    depth: int
    """The number of enclosing parentheses."""
    in_subquery: bool

    @property
    def text(self) -> str:
        return self.token.text


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
    written = []
    for n, each in enumerate(tokens):
        if n in qualifiers or n - 1 in qualifiers:
            continue
        # A column comes to where its qualifier was.
        before = tokens[n - 2].token.before if n - 2 in qualifiers else each.token.before
        written.append(before + each.text)
    return "".join(written)


def _tokens(definition: str) -> Iterator[_Token]:
    tokens = scan(definition) or ()
    opened: list[bool] = []
    for number, token in enumerate(tokens):
        if token.text == ")":
            opened.pop()
        yield _Token(token, len(opened), any(opened))
        if token.text == "(":
            following = tokens[number + 1 : number + 2]
            opened.append(any(each.text in _QUERIES for each in following))


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
    top = [each for each in clause if each.depth == 0]
    texts = [each.text for each in top]
    if "TABLESAMPLE" in texts:
        top = top[: texts.index("TABLESAMPLE")]
    names = [each.text for each in top if each.token.is_word]
    return None if several or not names else names[-1]
