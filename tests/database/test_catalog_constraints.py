"""Constraints and indexes are read into fields, and written from them."""

from collections.abc import Iterator

import asyncpg
import pytest

from partman.catalog.model import Catalog, Constraint, Index, IndexKey, Reference
from tests.catalog import read
from tests.database.ddl_support import round_trip
from tests.support import Database, execute, temporary_database

TABLES = [
    'CREATE TABLE "the ""t" (a int NOT NULL, "b, (c)" int NOT NULL, note text, during tsrange,'
    ' PRIMARY KEY (a, "b, (c)"))',
    'CREATE TABLE "odd.t" (a int, "b, (c)" int, "INCLUDE (x)" int, note text COLLATE "C",'
    " during tsrange, spot int4range)",
]
CONSTRAINTS = {
    "plain": 'FOREIGN KEY (a, "b, (c)") REFERENCES "the ""t"',
    "full": 'FOREIGN KEY (a, "b, (c)") REFERENCES "the ""t" MATCH FULL ON UPDATE CASCADE'
    " ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED",
    "some": 'FOREIGN KEY (a, "b, (c)") REFERENCES "the ""t" ON DELETE SET NULL ("b, (c)")'
    " DEFERRABLE NOT VALID",
    "primary": 'PRIMARY KEY ("INCLUDE (x)") INCLUDE (note) WITH (fillfactor = 50)',
    "once": 'UNIQUE NULLS NOT DISTINCT ("INCLUDE (x)", a) INCLUDE (note) DEFERRABLE',
    "checked": "CHECK (note <> ') NO INHERIT' AND a > 0) NO INHERIT NOT VALID",
    "alone": "EXCLUDE USING gist (during WITH &&, (int4range(a, a + 1)) WITH =) INCLUDE (a)"
    " WITH (fillfactor = 70) WHERE (a > 1) DEFERRABLE",
}
INDEXES = {
    "many": 'UNIQUE INDEX many ON "odd.t" (a, lower(note) DESC NULLS LAST, "INCLUDE (x)" DESC,'
    ' (a + 1) NULLS FIRST) INCLUDE ("b, (c)") NULLS NOT DISTINCT WITH (fillfactor = 70)'
    " WHERE (note <> ' WHERE x')",
    '"quoted.name"': 'INDEX "quoted.name" ON "odd.t" (note COLLATE "POSIX" text_pattern_ops)',
    "words": "INDEX words ON \"odd.t\" USING gin (to_tsvector('english', note))"
    " WITH (fastupdate = off)",
    "blocks": 'INDEX blocks ON "odd.t" USING brin (during range_inclusion_ops)',
}


@pytest.fixture(scope="module")
def bare() -> Iterator[Database]:
    with temporary_database() as database:
        execute(database.url, *TABLES)
        yield database


@pytest.fixture(scope="module")
def full(bare: Database) -> Iterator[Catalog]:
    with temporary_database(bare.name) as database:
        for name, definition in CONSTRAINTS.items():
            execute(database.url, f'ALTER TABLE "odd.t" ADD CONSTRAINT "{name}" {definition}')
        for definition in INDEXES.values():
            execute(database.url, f"CREATE {definition}")
        yield read(database.url)


def constraint(catalog: Catalog, name: str) -> Constraint:
    return next(each for each in catalog.of(Constraint) if each.name.strip('"') == name)


def test_a_foreign_key_has_its_parts(full: Catalog) -> None:
    plain, whole, some = (constraint(full, name) for name in ("plain", "full", "some"))
    for key in (plain, whole, some):
        assert key.type == "FOREIGN KEY"
        assert key.columns == key.referenced_columns == ("a", '"b, (c)"')
        assert key.referenced == Reference("table", 'public."the ""t"')
    assert (plain.on_update, plain.on_delete, plain.match_full) == (None, None, False)
    assert (whole.on_update, whole.on_delete, whole.match_full) == ("CASCADE", "RESTRICT", True)
    assert (some.on_delete, some.on_delete_columns) == ("SET NULL", ('"b, (c)"',))
    assert [
        (key.deferrable, key.initially_deferred, key.valid) for key in (plain, whole, some)
    ] == [
        (False, False, True),
        (True, True, True),
        (True, False, False),
    ]


def test_a_key_and_a_check_have_their_parts(full: Catalog) -> None:
    primary, once, checked = (constraint(full, each) for each in ("primary", "once", "checked"))
    assert (primary.type, once.type, checked.type) == ("PRIMARY KEY", "UNIQUE", "CHECK")
    assert (primary.columns, once.columns) == (('"INCLUDE (x)"',), ('"INCLUDE (x)"', "a"))
    assert (primary.included, primary.options) == (("note",), ("fillfactor=50",))
    assert (primary.nulls_distinct, once.nulls_distinct) == (True, False)
    assert checked.expression == "((note <> ') NO INHERIT'::text) AND (a > 0))"
    assert (checked.no_inherit, checked.valid, checked.referenced) == (True, False, None)


def test_an_exclusion_has_its_parts(full: Catalog) -> None:
    alone = constraint(full, "alone")
    assert alone.type == "EXCLUDE"
    assert alone.columns == ("during", "int4range(a, (a + 1))")
    assert alone.operators == ("&&", "=")
    assert (alone.included, alone.expression, alone.deferrable) == (("a",), "(a > 1)", True)


def test_an_index_has_its_parts(full: Catalog) -> None:
    indexes = {each.name.partition(".")[2]: each for each in full.of(Index)}
    assert set(indexes) == set(INDEXES)
    many, quoted = indexes["many"], indexes['"quoted.name"']
    assert (many.method, many.unique, many.nulls_distinct) == ("btree", True, False)
    assert [(key.text, key.column, key.direction) for key in many.keys] == [
        ("a", "a", None),
        ("lower(note)", None, "DESC NULLS LAST"),
        ('"INCLUDE (x)"', '"INCLUDE (x)"', "DESC"),
        ("((a + 1))", None, "NULLS FIRST"),
    ]
    assert (many.included, many.options) == (('"b, (c)"',), ("fillfactor=70",))
    assert many.predicate == "(note <> ' WHERE x'::text)"
    assert quoted.keys == (
        IndexKey(
            text="note",
            column="note",
            collation='"POSIX"',
            operator_class="text_pattern_ops",
            direction=None,
        ),
    )


@pytest.mark.parametrize("verbatim", [False, True])
def test_each_is_written_from_its_fields(bare: Database, full: Catalog, verbatim: bool) -> None:
    with temporary_database(bare.name) as database:
        round_trip(database.url, full, read(database.url), verbatim=verbatim)


def test_knows_what_postgresql_18_added(empty_database: Database) -> None:
    url = empty_database.url
    found = read(url)
    try:
        execute(
            url,
            "CREATE TABLE t (id int4range, during tsrange)",
            "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (id, during WITHOUT OVERLAPS)",
            "CREATE TABLE u (id int4range, during tsrange, n int)",
            "ALTER TABLE u ADD CONSTRAINT f FOREIGN KEY (id, PERIOD during)"
            " REFERENCES t (id, PERIOD during)",
            "ALTER TABLE u ADD CONSTRAINT c CHECK (n > 0) NOT ENFORCED",
        )
    except asyncpg.PostgresSyntaxError:
        pytest.skip("it takes PostgreSQL 18")
    expected = read(url)
    parts = {each.name: (each.period, each.not_enforced) for each in expected.of(Constraint)}
    assert parts == {"k": (True, False), "f": (True, False), "c": (False, True)}
    execute(url, "DROP TABLE u, t")
    round_trip(url, expected, found)
