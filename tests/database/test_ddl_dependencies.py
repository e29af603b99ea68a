"""What depends on what decides the order, and names do not."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Dependency, Reference
from partman.catalog.read import read_catalog
from tests.catalog import read
from tests.database.ddl_dependencies import ORDERS, made
from tests.database.ddl_support import apply, statements
from tests.summary import stride
from tests.support import Database, temporary_database


@pytest.fixture(scope="module")
def blank() -> Iterator[Database]:
    with temporary_database() as database:
        yield database


async def both_ways(url: str, source: list[str], target: list[str]) -> list[str]:
    """Go from one schema to the other and back, all of it in a transaction that is rolled back."""
    connection = await asyncpg.connect(url, max_cacheable_statement_size=0)
    try:
        catalogs = []
        for wanted in (target, source):
            await connection.execute("BEGIN")
            for statement in wanted:
                await connection.execute(statement)
            catalogs.append(await read_catalog(connection))
            if wanted is target:
                await connection.execute("ROLLBACK")
        expected, found = catalogs
        forwards, backwards = statements(done := plan(expected, found))
        assert done.unwritten == ()
        await apply(connection, forwards, expected)
        await apply(connection, backwards, found)
        return forwards
    finally:
        connection.terminate()


def go(url: str, source: list[str], target: list[str]) -> list[str]:
    return asyncio.run(both_ways(url, source, target))


@pytest.mark.parametrize("names", ORDERS[:: stride(3)], ids=" ".join)
def test_what_is_needed_is_made_first_and_dropped_last(
    blank: Database, names: tuple[str, ...]
) -> None:
    go(blank.url, [], made(names))
    go(blank.url, made(names), [])


CHANGED = {
    "a function that a default calls gets another result": (
        "CREATE FUNCTION {0}() RETURNS {x} LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';"
        " CREATE TABLE {1} (n bigint DEFAULT {0}(), m bigint GENERATED ALWAYS AS IDENTITY)",
        ("int", "bigint"),
    ),
    "an enum loses a label that is a function's argument": (
        "CREATE TYPE {0} AS ENUM ({x}); CREATE TABLE {1} (mood {0} DEFAULT 'a');"
        " CREATE FUNCTION {2}({0}) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';"
        " CREATE VIEW v{n} AS SELECT {2}('a') AS n",
        ("'a', 'b'", "'a'"),
    ),
    "the type of a column that functions and views use": (
        "CREATE TABLE {0} (n {x}); CREATE VIEW {1} AS SELECT n FROM {0};"
        " CREATE FUNCTION {2}() RETURNS SETOF text LANGUAGE sql"
        " BEGIN ATOMIC SELECT n::text FROM {1}; END;"
        " CREATE RULE r{n} AS ON DELETE TO {0} WHERE old.n IS NULL DO INSTEAD NOTHING",
        ("int", "bigint"),
    ),
    "a column gets another type, and the former one goes": (
        "CREATE DOMAIN {0}{x} AS int; CREATE TYPE {1}{x} AS (n {0}{x});"
        " CREATE TABLE {2} (n {0}{x})",
        ("x", "y"),
    ),
    "a default calls another function, and the former one goes": (
        "CREATE FUNCTION {0}{x}() RETURNS int LANGUAGE sql RETURN 1;"
        " CREATE TABLE {1} (n int DEFAULT {0}{x}())",
        ("x", "y"),
    ),
    "a key that another table refers to": (
        "CREATE TABLE {0} (id int, n int, UNIQUE (id){x});"
        " CREATE TABLE {1} (id int REFERENCES {0} (id))",
        ("", " INCLUDE (n)"),
    ),
    # PostgreSQL makes these again by its own names, and without comments.
    "the type of a column that indexes and keys of partitions have": (
        "CREATE TABLE {0} (kind text, n {x}) PARTITION BY LIST (kind);"
        " CREATE TABLE {1} PARTITION OF {0} FOR VALUES IN ('a');"
        " CREATE INDEX {2} ON {1} (n); COMMENT ON INDEX {2} IS 'fast';"
        " CREATE INDEX i{n} ON {0} (n);"
        " ALTER TABLE {1} ADD CONSTRAINT own{n} UNIQUE (n, kind);"
        " ALTER TABLE {0} ADD CONSTRAINT k{n} UNIQUE (n, kind)",
        ("int", "bigint"),
    ),
}


@pytest.mark.parametrize("names", [("aa", "mm", "zz"), ("zz", "mm", "aa")], ids=" ".join)
def test_what_stands_in_the_way_is_made_again(blank: Database, names: tuple[str, ...]) -> None:
    source, target = (
        [
            text.format(*(f"{name}_{number}" for name in names), x=values[side], n=number)
            for number, (text, values) in enumerate(CHANGED.values())
        ]
        for side in (0, 1)
    )
    go(blank.url, source, target)


SEQUENCES = {
    "serial": "CREATE TABLE t@ (id serial)",
    "a quoted serial": 'CREATE TABLE t@ ("ID" serial PRIMARY KEY)',
    "a serial of a quoted table": 'CREATE TABLE "T.@" ("a""b" serial)',
    "a serial with a long name": f"CREATE TABLE t@ ({'long' * 15} serial)",
    "of a renamed table": "CREATE TABLE a@ (id serial); ALTER TABLE a@ RENAME TO t@",
    "of a renamed column": "CREATE TABLE t@ (a serial); ALTER TABLE t@ RENAME a TO id",
    "bigint later": "CREATE TABLE t@ (id serial); ALTER TABLE t@ ALTER id TYPE bigint",
    "another start": "CREATE TABLE t@ (id serial); ALTER SEQUENCE t@_id_seq START 7",
    "nullable": "CREATE TABLE t@ (id serial); ALTER TABLE t@ ALTER id DROP NOT NULL",
    "no default": "CREATE TABLE t@ (id serial); ALTER TABLE t@ ALTER id DROP DEFAULT",
    "several of one column": "CREATE TABLE t@ (id serial); CREATE SEQUENCE b@ OWNED BY t@.id",
    "of another table": "CREATE TABLE u@ (id int); CREATE SEQUENCE s@ OWNED BY u@.id;"
    " CREATE TABLE t@ (id bigint DEFAULT nextval('s@'))",
    "identity": "CREATE TABLE t@ (id int GENERATED ALWAYS AS IDENTITY)",
    "identity with options": "CREATE TABLE t@ (id smallint GENERATED BY DEFAULT AS IDENTITY"
    " (SEQUENCE NAME s@ START 5 INCREMENT 3 CYCLE)); COMMENT ON SEQUENCE s@ IS 'counts'",
    "of a renamed table with identity": "CREATE TABLE a@ (id int GENERATED ALWAYS AS IDENTITY);"
    " ALTER TABLE a@ RENAME TO t@; GRANT SELECT ON SEQUENCE a@_id_seq TO PUBLIC",
    "granted": "CREATE TABLE t@ (id serial); GRANT SELECT ON SEQUENCE t@_id_seq TO PUBLIC",
    "plain": "CREATE TABLE t@ (id int NOT NULL)",
    "alone": "CREATE TABLE t@ (id int); CREATE SEQUENCE t@_id_seq AS integer",
}


def in_states(shift: int) -> list[str]:
    """Return the statements that make each table in the state that comes so much later."""
    states = list(SEQUENCES.values())
    return [
        states[(number + shift) % len(states)].replace("@", str(number))
        for number in range(len(states))
    ]


@pytest.mark.parametrize("shift", range(1, len(SEQUENCES), stride(6)))
def test_a_sequence_changes_from_any_state_into_any_other(blank: Database, shift: int) -> None:
    go(blank.url, in_states(0), in_states(shift))


def test_a_sequence_in_any_state_is_made_and_dropped(blank: Database) -> None:
    go(blank.url, [], in_states(0))
    go(blank.url, in_states(0), [])


def test_default_privileges_come_before_what_they_apply_to(blank: Database) -> None:
    all_of_it = [
        "CREATE SCHEMA s",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "CREATE TABLE s.t (id int)",
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql RETURN 1",
    ]
    go(blank.url, [], all_of_it)
    go(blank.url, all_of_it, [])
    go(blank.url, all_of_it[:1], all_of_it)


def test_reads_what_depends_on_what(sample: Database) -> None:
    """Every end of a dependency is an object of the catalog, or an extension's."""
    catalog = read(sample.url)
    known = {obj.reference for obj in catalog.objects}
    assert {end for need in catalog.dependencies for end in need[:2]} <= known
    assert {
        Dependency(Reference("column", "shop.partners.mood"), Reference("type", "shop.mood")),
        Dependency(
            Reference("column", "shop.partners.serial"),
            Reference("sequence", "shop.partners_serial_seq"),
            by_default=True,
        ),
        Dependency(Reference("view", "shop.happy"), Reference("column", "shop.goals.partner_id")),
        Dependency(
            Reference("constraint", "goals_partner_fkey on shop.goals"),
            Reference("constraint", "partners_organization_id_id_key on shop.partners"),
        ),
    } <= set(catalog.dependencies)


def test_what_hangs_on_something_unwritten_is_named_with_it(blank: Database) -> None:
    async def run() -> tuple[Catalog, Catalog]:
        connection = await asyncpg.connect(blank.url)
        try:
            found = await read_catalog(connection)
            await connection.execute(
                "BEGIN; CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);"
                " CREATE VIEW v AS SELECT total(1) AS n; CREATE VIEW w AS SELECT n FROM v;"
                " CREATE VIEW x AS SELECT 1 AS n"
            )
            return await read_catalog(connection), found
        finally:
            connection.terminate()

    expected, found = asyncio.run(run())
    done = plan(expected, found)
    assert [str(each.reference) for each in done.unwritten] == [
        "aggregate public.total(integer)",
        "view public.v",
        "view public.w",
    ]
    assert [change.reference.name for change in done.changes] == ["public.x"]
    done = plan(found, expected)
    assert "aggregate public.total(integer)" in {str(each.reference) for each in done.unwritten}
