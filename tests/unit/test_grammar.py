"""Statements are divided, compared and written into files as PostgreSQL's grammar has them."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partman.grammar import NotParsedError, parse, same_meaning
from partman.migration.autogenerate.render import _sql

PIECES = [
    "SELECT 1",
    "CREATE TABLE t (a text DEFAULT ';')",
    "INSERT INTO t VALUES ('it''s;', E'\\';', U&'d\\0061')",
    "DO $a$ BEGIN; COMMIT; END $a$",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
    'SELECT "a;b" FROM "größe"',
    "COMMENT ON TABLE t IS '日本; -- no'",
]
BETWEEN = ["", " ", "\n", "-- c; c\n", "/* a /* ; */ b */", "\t;\n"]


@given(st.lists(st.tuples(st.sampled_from(BETWEEN), st.sampled_from(PIECES)), min_size=1))
def test_the_texts_of_the_statements_are_the_string(parts: list[tuple[str, str]]) -> None:
    sql = ";".join(f"{between}{piece}" for between, piece in parts)
    statements = parse(sql)
    assert "".join(each.text for each in statements) == sql
    assert len(statements) == len(parts)
    for statement, (_, piece) in zip(statements, parts, strict=True):
        assert piece in statement.text


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT 'open", "SELECT 1\0; DROP TABLE t", "'"])
def test_invalid_sql_is_not_parsed(sql: str) -> None:
    with pytest.raises(NotParsedError):
        parse(sql)


def test_white_space_matters_only_within_words() -> None:
    assert same_meaning("SELECT 1,\n    2", "select 1, 2")
    assert not same_meaning("SELECT 'a\nb'", "SELECT 'a\n    b'")
    assert not same_meaning("SELECT 1", "SELECT 2")
    assert not same_meaning("SELEC", "SELEC")


BODIES = st.text(alphabet="ab \n\t\\\"'", max_size=12)


@given(BODIES, st.booleans())
def test_a_statement_is_written_into_a_file_so_that_it_means_the_same(
    body: str, named: bool
) -> None:
    text = body.replace("'", "''")
    sql = f"CREATE FUNCTION f() RETURNS text LANGUAGE sql\nAS $b$SELECT '{text}'$b$"
    written = ast.literal_eval(_sql(sql, 8, named=named))
    assert same_meaning(written, sql)
