"""SQL that PostgreSQL prints is shortened without changing its meaning."""

import inspect

import pytest

from partman.catalog.ddl.online import SqlStep
from partman.catalog.ddl.text import SqlStyle, laid_out, split, unwrapped
from partman.migration.autogenerate.piccolo_operations import Imported, Operation
from partman.migration.autogenerate.render import MigrationDraft, formatted, write

style = SqlStyle(frozenset({"status"}))

SHORTER = {
    "CREATE INDEX i ON public.t USING btree (a)": "CREATE INDEX i ON t USING btree (a)",
    "(status)::text = 'open'::text": "status = 'open'",
    "(status)::text = ANY ((ARRAY['a'::character varying, 'b,c'::character varying])::text[])": (
        "status IN ('a', 'b,c')"
    ),
    "name = ANY (ARRAY['a'::text, 'it''s'::text])": "name IN ('a', 'it''s')",
    "(price >= (0)::numeric)": "(price >= 0)",
    "(current_setting('a.b'::text))::uuid": "current_setting('a.b')::uuid",
}
AS_IT_IS = [
    "(number)::text = '1'",  # not a varchar: PostgreSQL would not add the cast again
    "'public.t'::regclass = x",
    '"public.t" = 1',
    "nonpublic.t",
    "'{}'::text[]",
    "nextval(('s'::text)::regclass)",  # looks for the sequence at each call
    "AS $$ SELECT 'a'::text FROM public.t $$",
]


@pytest.mark.parametrize("printed", SHORTER)
def test_removes_parts_that_postgresql_adds_again(printed: str) -> None:
    assert style(printed) == SHORTER[printed]
    assert SqlStyle(verbatim=True)(printed) == printed


@pytest.mark.parametrize("printed", AS_IT_IS)
def test_keeps_significant_text(printed: str) -> None:
    assert style(printed) == printed


def test_parses_parentheses_and_literals() -> None:
    assert unwrapped("((a > 1))") == "a > 1"
    assert unwrapped("(a) OR (b)") == "(a) OR (b)"
    assert unwrapped("(a = ')')") == "a = ')'"
    assert unwrapped("( SELECT true)") == "( SELECT true)"
    assert split("I (a) WHERE (b WHERE c)", "WHERE") == ["I (a)", "WHERE (b WHERE c)"]


def test_breaks_lines_that_would_be_too_long() -> None:
    assert laid_out("CREATE INDEX i", None, "ON t (a)") == "CREATE INDEX i ON t (a)"
    assert laid_out("a" * 60, "b" * 30, "c") == f"{'a' * 60}\n{'b' * 30} c"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT \"a\", 'b\\n'",
        'SELECT """a"""',
        "CREATE FUNCTION f() AS $$\nBEGIN\n    x \\ y;\n\n  END\n$$",
    ],
)
def test_a_file_contains_each_statement_exactly(statement: str) -> None:
    """As the MigrationManager reads it."""
    step = SqlStep((statement, statement), (statement,))
    draft = MigrationDraft("app", "1", "words", steps=(step,), before=(step,))
    text = formatted(write(draft, (), ()))
    said: list[tuple[list[str], str]] = []

    class Manager:
        def __init__(self, **given: str) -> None:
            assert given["description"] == "words"

        def add_sql(self, *, forwards: list[str], backwards: str, before: bool = False) -> None:
            said.append((forwards, backwards))

    names: dict[str, object] = {}
    exec(text.replace("from partman.migration import MigrationManager", ""), names)  # noqa: S102
    names["MigrationManager"] = Manager
    forwards = names["forwards"]
    assert callable(forwards)
    with pytest.raises(StopIteration):
        forwards().send(None)
    assert len(said) == 2
    for ahead, back in said:
        assert [inspect.cleandoc(each) for each in (*ahead, back)] == [
            inspect.cleandoc(statement)
        ] * 3


def test_a_file_imports_what_it_needs_in_order() -> None:
    imports = [
        Imported("piccolo.columns", "Text"),
        Imported("decimal", None),
        Imported("re", "sub"),
    ]
    operation = "manager.x(Text, decimal.Decimal(1))"
    contents = MigrationDraft("app", "1", "", operations=(Operation(operation, "x"),))
    assert formatted(write(contents, imports, ())).startswith(
        "import decimal\n\nfrom piccolo.columns import Text\n\nfrom partman.migration import Migra"
    )
