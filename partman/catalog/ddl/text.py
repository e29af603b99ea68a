"""PostgreSQL's words, put as a person would type them."""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from partman.catalog.model import Catalog, Column

LINE = 80
"""Characters of a line of a statement, which is indented where it is written."""

_APART = re.compile(
    r"""'(?:[^']|'')*'(?P<literal>)|"(?:[^"]|"")*"|(?P<tag>\$\w*\$).*?(?P=tag)""", re.DOTALL
)
"""What is not SQL: a string, a quoted name, the body of a function."""
_STRING, _OTHER = "\0", "\1"
_A_STRING = rf"{_STRING}\d+{_STRING}"

_OF_TEXT = re.compile(rf"({_A_STRING})::text\b(?!\[)")
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
class Wording:
    """How to put it: with less of what PostgreSQL adds when it prints, or as it is.

    Less is a guess: that PostgreSQL adds the same again when it reads it. Whoever runs a
    statement has to look whether it did.
    """

    varchars: frozenset[str] = frozenset()
    """Columns that are varchar wherever there is one of that name."""
    literally: bool = False

    def __call__(self, sql: str) -> str:
        """Leave out the schema public, and casts that a string, a number or a varchar needs not."""
        return sql if self.literally else _apart(sql, self._shorter)

    def _shorter(self, sql: str) -> str:
        sql = _PUBLIC.sub("", sql)
        for pattern in _IN:
            sql = pattern.sub(_as_in, sql)
        sql = _REFERENCES.sub(r"REFERENCES \1 (", sql)
        sql = _OF_NUMERIC.sub(r"\1", _OF_TEXT.sub(r"\1", sql))
        sql = _RESULT_AS.sub(r"\1::", sql)
        return _COLUMN_AS_TEXT.sub(
            lambda found: found[1] if found[1] in self.varchars else found[0], sql
        )


def wording_for(*catalogs: Catalog) -> Wording:
    """Return the wording for the columns that there are."""
    columns = [column for catalog in catalogs for column in catalog.of(Column)]
    others = {one.name for one in columns if not one.type.startswith("character varying")}
    return Wording(frozenset({column.name for column in columns} - others))


def laid_out(*clauses: str | None) -> str:
    """Put clauses on one line or, if that would be too long, on as many as they need."""
    lines: list[str] = []
    for clause in filter(None, clauses):
        longer = f"{lines[-1]} {clause}" if lines else clause
        if lines and len(longer) <= LINE and "\n" not in longer:
            lines[-1] = longer
        else:
            lines.append(clause)
    return "\n".join(lines)


def listed(items: Iterable[str], before: str = "") -> str:
    """Return a list of names, over as many lines as it needs."""
    return "\n".join(
        textwrap.wrap(
            f"{before}{', '.join(items)}",
            LINE,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def unwrapped(expression: str) -> str:
    """Return an expression without the parentheses that are around all of it."""
    while expression.startswith("(") and _end_of_parentheses(expression) == len(expression) - 1:
        expression = expression[1:-1]
    return expression


def split(sql: str, *clauses: str) -> list[str]:
    """Divide a statement before each of these words, where they are in no parentheses."""
    masked, texts = _masked(sql)
    words = "|".join(clauses)
    parts, begin = [], 0
    for found in re.finditer(rf" (?=(?:{words})\b)", masked):
        if masked.count("(", 0, found.start()) == masked.count(")", 0, found.start()):
            parts.append(masked[begin : found.start()])
            begin = found.end()
    return [_restored(part, texts) for part in [*parts, masked[begin:]]]


def items(sql: str) -> list[str]:
    """Divide a list at its commas, where they are in no parentheses."""
    masked, texts = _masked(sql)
    parts, depth = [""], 0
    for character in masked:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [_restored(part, texts).strip() for part in parts]


def in_parentheses(sql: str) -> tuple[str, str] | None:
    """Return what is in the parentheses that a text begins with, and what comes after them."""
    end = _end_of_parentheses(sql)
    return None if end is None else (sql[1:end], sql[end + 1 :])


def mentions(sql: str, name: str) -> bool:
    """Whether a name occurs in a text, qualified or not."""
    bare = name.partition("(")[0].rpartition(".")[2]
    return re.search(rf"(?<![\w]){re.escape(bare)}(?![\w])", sql) is not None


def _end_of_parentheses(sql: str) -> int | None:
    if not sql.startswith("("):
        return None
    # Of the same length, so that a position is the same in both.
    plain = _APART.sub(lambda found: "x" * len(found[0]), sql)
    depth = 0
    for position, character in enumerate(plain):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position
    return None


def _as_in(found: re.Match[str]) -> str:
    strings = re.findall(_A_STRING, found[2])
    return f"{found[1]} IN ({', '.join(strings)})"


def _apart(sql: str, change: Callable[[str], str]) -> str:
    masked, texts = _masked(sql)
    return _restored(change(masked), texts)


def _masked(sql: str) -> tuple[str, list[str]]:
    texts: list[str] = []

    def stand_in(found: re.Match[str]) -> str:
        texts.append(found[0])
        mark = _OTHER if found["literal"] is None else _STRING
        return f"{mark}{len(texts) - 1}{mark}"

    return _APART.sub(stand_in, sql), texts


def _restored(sql: str, texts: list[str]) -> str:
    return re.sub(rf"[{_STRING}{_OTHER}](\d+)[{_STRING}{_OTHER}]", lambda m: texts[int(m[1])], sql)
