"""Shorten and lay out the SQL that PostgreSQL prints."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

from partman.catalog.ddl.shortening import QUERIES, closing, shortened
from partman.catalog.model import Catalog, Column
from partman.grammar.tokens import Token, joined, scan

LINE = 80
"""Characters per line of a statement, without the indentation in a migration file."""


@dataclass(frozen=True)
class SqlStyle:
    """The style of SQL: shortened, or as PostgreSQL prints it.

    Shortening leaves out what PostgreSQL is expected to add again when it parses the statement.
    Compare the catalog after running a shortened statement to see whether it did.
    """

    varchars: frozenset[str] = frozenset()
    """Names of columns that are varchar in every table."""
    verbatim: bool = False

    def __call__(self, sql: str) -> str:
        """Leave out the schema public and redundant casts of strings, numbers and varchars."""
        tokens = None if self.verbatim else scan(sql)
        return sql if tokens is None else joined(shortened(tokens, self.varchars))


def style_for(*catalogs: Catalog) -> SqlStyle:
    """Return the style for the columns of the catalogs."""
    columns = [column for catalog in catalogs for column in catalog.of(Column)]
    others = {column.name for column in columns if not column.type.startswith("character varying")}
    return SqlStyle(frozenset({column.name for column in columns} - others))


def laid_out(*clauses: str | None) -> str:
    """Join clauses with spaces, or with line breaks where a line would be too long."""
    lines: list[str] = []
    for clause in filter(None, clauses):
        longer = f"{lines[-1]} {clause}" if lines else clause
        if lines and len(longer) <= LINE and "\n" not in longer:
            lines[-1] = longer
        else:
            lines.append(clause)
    return "\n".join(lines)


def listed(items: Iterable[str], before: str = "") -> str:
    """Return a comma-separated list, wrapped at LINE characters."""
    return "\n".join(
        textwrap.wrap(
            f"{before}{', '.join(items)}",
            LINE,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def quoted(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def unwrapped(expression: str) -> str:
    """Return an expression without its outer parentheses, but for those of a query."""
    tokens = scan(expression)
    if tokens is None:
        return expression
    while (
        tokens
        and tokens[0].text == "("
        and closing(tokens, 0) == len(tokens) - 1
        and tokens[1].text.upper() not in QUERIES
    ):
        first = replace(tokens[1], before="")
        tokens = (first, *tokens[2:-1])
    return joined(tokens)


def split(sql: str, *clauses: str) -> list[str]:
    """Split a statement before each of these keywords outside parentheses."""
    tokens = scan(sql) or ()
    parts: list[list[Token]] = [[]]
    depth = 0
    for number, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        following = [each.text for each in tokens[number : number + 2]]
        begins = any(following[: len(words := clause.split())] == words for clause in clauses)
        if begins and not depth and number:
            parts.append([replace(token, before="")])
        else:
            parts[-1].append(token)
    return [joined(part) for part in parts]
