"""Shorten and lay out the SQL that PostgreSQL prints."""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from partman.catalog.model import Catalog, Column

LINE = 80
"""Characters per line of a statement, without the indentation in a migration file."""

_LITERAL = re.compile(
    r"""'(?:[^']|'')*'(?P<literal>)|"(?:[^"]|"")*"|(?P<tag>\$\w*\$).*?(?P=tag)""", re.DOTALL
)
"""Literals: a string, a quoted name, a dollar-quoted body."""
_STRING, _OTHER = "\0", "\1"
_A_STRING = rf"{_STRING}\d+{_STRING}"

# Not where another cast follows: nextval(('s'::text)::regclass) looks for s at each call.
_OF_TEXT = re.compile(rf"({_A_STRING})::text\b(?!\[|\)::)")
_OF_NUMERIC = re.compile(r"\((-?[\d.]+)\)::numeric\b")
_COLUMN_AS_TEXT = re.compile(r"\((\w+)\)::text\b(?!\[)")
_RESULT_AS = re.compile(r"\((\w+\([^()]*\))\)::")
_REFERENCES = re.compile(r"\bREFERENCES (\S+?)\(")
_PUBLIC = re.compile(r"(?<![\w.])public\.")


def _any_of(column: str, kind: str, array: str) -> re.Pattern[str]:
    element = rf"{_A_STRING}::{kind}"
    return re.compile(rf"{column} = ANY \({array.format(rf'({element}(?:, {element})*)')}\)")


_IN = (
    _any_of(r"\((\w+)\)::text", "character varying", r"\(ARRAY\[{}\]\)::text\[\]"),
    _any_of(r"\b(\w+)", "text", r"ARRAY\[{}\]"),
)


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
        return sql if self.verbatim else _outside_literals(sql, self._shorten)

    def _shorten(self, sql: str) -> str:
        sql = _PUBLIC.sub("", sql)
        for pattern in _IN:
            sql = pattern.sub(_as_in, sql)
        sql = _REFERENCES.sub(r"REFERENCES \1 (", sql)
        sql = _OF_NUMERIC.sub(r"\1", _OF_TEXT.sub(r"\1", sql))
        sql = _RESULT_AS.sub(r"\1::", sql)
        return _COLUMN_AS_TEXT.sub(
            lambda found: found[1] if found[1] in self.varchars else found[0], sql
        )


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


_QUERIES = ("SELECT ", "WITH ", "VALUES ")


def quoted(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def unwrapped(expression: str) -> str:
    """Return an expression without its outer parentheses, but for those of a query."""
    while expression.startswith("(") and _end_of_parentheses(expression) == len(expression) - 1:
        inside = expression[1:-1]
        if inside.lstrip().startswith(_QUERIES):
            break
        expression = inside
    return expression


def split(sql: str, *clauses: str) -> list[str]:
    """Split a statement before each of these keywords outside parentheses."""
    masked, texts = _mask(sql)
    words = "|".join(clauses)
    parts, begin = [], 0
    for found in re.finditer(rf" (?=(?:{words})\b)", masked):
        if masked.count("(", 0, found.start()) == masked.count(")", 0, found.start()):
            parts.append(masked[begin : found.start()])
            begin = found.end()
    return [_unmask(part, texts) for part in [*parts, masked[begin:]]]


def items(sql: str) -> list[str]:
    """Split a list at its commas outside parentheses."""
    masked, texts = _mask(sql)
    parts, depth = [""], 0
    for character in masked:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [_unmask(part, texts).strip() for part in parts]


def in_parentheses(sql: str) -> tuple[str, str] | None:
    """Return the content of the leading parentheses and the text after them, or None."""
    end = _end_of_parentheses(sql)
    return None if end is None else (sql[1:end], sql[end + 1 :])


def _end_of_parentheses(sql: str) -> int | None:
    if not sql.startswith("("):
        return None
    # Literals are replaced by text of the same length, so that positions stay the same.
    plain = _LITERAL.sub(lambda found: "x" * len(found[0]), sql)
    depth = 0
    for position, character in enumerate(plain):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position
    return None


def _as_in(found: re.Match[str]) -> str:
    strings = re.findall(_A_STRING, found[2])
    return f"{found[1]} IN ({', '.join(strings)})"


def _outside_literals(sql: str, change: Callable[[str], str]) -> str:
    masked, texts = _mask(sql)
    return _unmask(change(masked), texts)


def _mask(sql: str) -> tuple[str, list[str]]:
    texts: list[str] = []

    def replace(found: re.Match[str]) -> str:
        texts.append(found[0])
        mark = _OTHER if found["literal"] is None else _STRING
        return f"{mark}{len(texts) - 1}{mark}"

    return _LITERAL.sub(replace, sql), texts


def _unmask(sql: str, texts: list[str]) -> str:
    return re.sub(rf"[{_STRING}{_OTHER}](\d+)[{_STRING}{_OTHER}]", lambda m: texts[int(m[1])], sql)
