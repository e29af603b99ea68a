"""PostgreSQL's own scanner divides SQL into words."""

import pytest

from partman.grammar.tokens import joined, scan

pytestmark = pytest.mark.same_on_every_version


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  a.\"b \"\"c\" = 'it''s'::text",
        "AS $tag$ it's $$ a \" body $tag$ LANGUAGE sql",
        "E'\\n' || U&'x' || $1 @> -1.5e3",
        "\"né\" = 'ünïcödé €' AND x",
        "a /* ' */ + -- \"\n b",
        "long " * 500 + "end",
        "",
    ],
)
def test_the_tokens_are_the_string(sql: str) -> None:
    assert joined(scan(sql) or ()) == sql


def test_a_token_is_a_word_a_string_a_number_or_a_sign() -> None:
    tokens = scan("\"A\" select_ 'x' $$y$$ 1 2.5 (") or ()
    assert [(each.is_word, each.is_string, each.is_number) for each in tokens] == [
        *[(True, False, False)] * 2,
        *[(False, True, False)] * 2,
        *[(False, False, True)] * 2,
        (False, False, False),
    ]


@pytest.mark.parametrize("sql", ["'open", '"open', "$$open", "/* open", "a\0b"])
def test_what_the_scanner_rejects_has_no_tokens(sql: str) -> None:
    assert scan(sql) is None
