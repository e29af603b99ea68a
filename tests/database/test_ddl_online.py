"""On a table in use, slow changes take forms that block other sessions only briefly."""

from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from partman.catalog.ddl.online import SqlSteps, steps
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Table
from partman.catalog.read import read_catalog
from tests.catalog import Connection, read, reader
from tests.database.ddl_support import statements
from tests.support import Database, execute, temporary_database

EMPTY = """
CREATE TABLE people (id integer PRIMARY KEY, name varchar(20), age integer NOT NULL);
CREATE TABLE things (id integer NOT NULL, owner_id integer, title text)
"""
MORE = [
    "CREATE INDEX people_name ON people (lower(name)) WHERE age > 3",
    "CREATE UNIQUE INDEX people_once ON people (name, age DESC) INCLUDE (id) NULLS NOT DISTINCT",
    "ALTER TABLE people ADD CONSTRAINT people_key UNIQUE (name, id)",
    "ALTER TABLE things ADD CONSTRAINT things_pkey PRIMARY KEY (id)",
    "ALTER TABLE people ADD CONSTRAINT people_age CHECK (age >= 0)",
    "ALTER TABLE things ADD CONSTRAINT things_owner FOREIGN KEY (owner_id)"
    " REFERENCES people (id) ON DELETE CASCADE",
    "COMMENT ON CONSTRAINT people_age ON people IS 'Nobody is younger'",
    "COMMENT ON INDEX people_name IS 'To search'",
    "ALTER INDEX people_name ALTER COLUMN 1 SET STATISTICS 200",
]


@pytest.fixture(scope="module")
def few(template: Database) -> Iterator[Database]:
    with temporary_database() as database:
        execute(database.url, EMPTY)
        yield database


@pytest.fixture(scope="module")
def both(few: Database) -> tuple[Catalog, Catalog]:
    """The expected catalog and the found one."""
    with temporary_database(few.name) as database:
        found = read(database.url)
        execute(database.url, *MORE)
        return read(database.url), found


@pytest.fixture
async def connection(few: Database) -> AsyncIterator[Connection]:
    """A connection to a copy of it."""
    with temporary_database(few.name) as database:
        async with reader(database.url) as connection:
            yield connection


async def execute_all(connection: Connection, run: Iterable[str]) -> None:
    """Run statements one after the other, each in its own transaction."""
    for statement in run:
        await connection.execute(statement)


def online(expected: Catalog, found: Catalog) -> SqlSteps:
    done = plan(expected, found)
    existing = {one.reference for one in found.of(Table)}
    return steps(done.changes, expected, existing, done.style)


async def test_steps_apply_and_revert(
    connection: Connection, both: tuple[Catalog, Catalog]
) -> None:
    expected, found = both
    forwards, backwards = statements(online(expected, found))
    for run, result in ((forwards, expected), (backwards, found), (forwards, expected)):
        await execute_all(connection, run)
        assert await read_catalog(connection) == result


async def test_steps_remove_extra_objects(
    connection: Connection, both: tuple[Catalog, Catalog]
) -> None:
    expected, found = both
    await execute_all(connection, MORE)
    forwards, backwards = statements(online(found, expected))
    for run, result in ((forwards, found), (backwards, expected)):
        await execute_all(connection, run)
        assert await read_catalog(connection) == result


@pytest.mark.same_on_every_version
def test_no_index_is_built_or_table_scanned_under_a_lock(both: tuple[Catalog, Catalog]) -> None:
    for expected, found in (both, both[::-1]):
        done = online(expected, found)
        assert done.is_online
        for statement in [each for run in statements(done) for each in run]:
            # Those that are brief, whatever is in the table.
            if "INDEX" in statement and not statement.startswith(("COMMENT", "ALTER INDEX")):
                assert "CONCURRENTLY" in statement or "USING INDEX" in statement
            if "ADD CONSTRAINT" in statement:
                assert "NOT VALID" in statement or "USING INDEX" in statement


@pytest.mark.same_on_every_version
def test_a_step_that_cannot_run_in_a_transaction_is_alone(both: tuple[Catalog, Catalog]) -> None:
    for step in online(*both).steps:
        for run in (step.forwards, step.backwards):
            assert len(run) == 1 or "CONCURRENTLY" not in " ".join(run)


async def test_a_slow_step_does_not_hold_the_lock_of_a_quick_one(connection: Connection) -> None:
    found = await read_catalog(connection)
    await execute_all(connection, [MORE[4], "CREATE POLICY anybody ON people"])
    forwards = [step.forwards for step in online(await read_catalog(connection), found).steps]
    assert [each.split()[3] for [each] in forwards] == ["ADD", "VALIDATE", "ON"]


def test_tables_created_in_the_same_plan_use_plain_statements(
    both: tuple[Catalog, Catalog],
) -> None:
    expected, found = both
    done = steps(plan(expected, found).changes, expected, (), plan(expected, found).style)
    assert not done.is_online
    assert done.requirements == ()
    assert "CONCURRENTLY" not in " ".join(statements(done)[0])


async def test_a_policy_is_replaced_in_one_commit(connection: Connection) -> None:
    """A time between the policies could show rows of other tenants."""
    await connection.execute("CREATE POLICY mine ON people AS RESTRICTIVE USING (age > 1)")
    found = await read_catalog(connection)
    replaced = "CREATE POLICY ours ON people AS RESTRICTIVE USING (age > 2)"
    await execute_all(connection, ["DROP POLICY mine ON people", replaced, *MORE])
    forwards = [step.forwards for step in online(await read_catalog(connection), found).steps]
    [together] = [step for step in forwards if any("ON people AS" in each for each in step)]
    assert [each.split()[:3] for each in together] == [
        ["CREATE", "POLICY", "ours"],
        ["DROP", "POLICY", "mine"],
    ]


VIOLATING = {
    "people (name, age) is unique": "INSERT INTO people VALUES (1, NULL, 1), (2, NULL, 1)",
    "people (name, id) is unique": None,
    "things (id) is unique": "INSERT INTO things VALUES (1), (1)",
    "people: age >= 0": "INSERT INTO people VALUES (1, 'a', -1)",
    "things (owner_id) refers to people (id)": "INSERT INTO things VALUES (1, 9)",
}
"""A constraint, and rows that violate it; none if the id alone prevents a violation."""

WITHIN = "INSERT INTO people VALUES (1, NULL, 1), (2, NULL, 2); INSERT INTO things VALUES (1, NULL)"


@pytest.mark.same_on_every_version
@pytest.mark.parametrize("requirement", VIOLATING)
async def test_a_requirement_finds_exactly_the_violating_rows(
    connection: Connection, both: tuple[Catalog, Catalog], requirement: str
) -> None:
    requirements = {each.words: each.query for each in online(*both).requirements}
    assert requirements.keys() == VIOLATING.keys()
    await connection.execute(WITHIN)
    assert await connection.fetch(requirements[requirement]) == []
    if violating := VIOLATING[requirement]:
        await execute_all(connection, ["TRUNCATE people, things", violating])
        assert await connection.fetch(requirements[requirement]) != []


REPLACED = {
    "what a key does on delete": (
        "ALTER TABLE things ADD CONSTRAINT things_owner FOREIGN KEY (owner_id)"
        " REFERENCES people (id) ON DELETE CASCADE",
        "ALTER TABLE things ADD CONSTRAINT things_owner FOREIGN KEY (owner_id)"
        " REFERENCES people (id) ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE",
    ),
    "a check": (
        "ALTER TABLE things ADD CONSTRAINT things_owner CHECK (owner_id > 0)",
        "ALTER TABLE things ADD CONSTRAINT things_owner CHECK (owner_id > 0 AND id > 0)",
    ),
    "a long name that is quoted": (
        f'ALTER TABLE things ADD CONSTRAINT "{"Ä" * 31}" CHECK (owner_id > 0)',
        f'ALTER TABLE things ADD CONSTRAINT "{"Ä" * 31}" CHECK (owner_id > 1)',
    ),
    "a name that is taken": (
        "ALTER TABLE things ADD CONSTRAINT c CHECK (owner_id > 0),"
        " ADD CONSTRAINT c_new CHECK (id > 0)",
        "ALTER TABLE things ADD CONSTRAINT c CHECK (owner_id > 1),"
        " ADD CONSTRAINT c_new CHECK (id > 0)",
    ),
}


@pytest.mark.parametrize("what", REPLACED)
async def test_a_constraint_is_replaced_with_no_moment_without_one(
    connection: Connection, what: str
) -> None:
    old, new = REPLACED[what]
    await connection.execute("COMMENT ON TABLE things IS 'x'")
    await execute_all(connection, ["BEGIN", new])
    expected = await read_catalog(connection)
    await execute_all(connection, ["ROLLBACK", old])
    found = await read_catalog(connection)
    done = online(expected, found).steps
    validated = "SELECT count(*) FROM pg_constraint WHERE convalidated AND contype IN ('c', 'f')"
    least = await connection.fetchval(validated)
    for runs, result in (
        ([step.forwards for step in done], expected),
        ([step.backwards for step in reversed(done)], found),
    ):
        assert sum("NOT VALID" in " ".join(run) for run in runs) == 1
        for run in runs:
            await connection.execute("; ".join(run))
            assert await connection.fetchval(validated) >= least, run
        assert await read_catalog(connection) == result


async def test_a_key_whose_target_is_replaced_is_dropped_first(connection: Connection) -> None:
    await connection.execute(REPLACED["what a key does on delete"][0])
    found = await read_catalog(connection)
    changed = [
        "ALTER TABLE things DROP CONSTRAINT things_owner",
        "ALTER TABLE people DROP CONSTRAINT people_pkey, ADD CONSTRAINT people_pkey"
        " PRIMARY KEY (id) INCLUDE (age)",
        REPLACED["what a key does on delete"][1],
    ]
    await execute_all(connection, changed)
    expected = await read_catalog(connection)
    forwards, backwards = statements(online(expected, found))
    for run, result in ((backwards, found), (forwards, expected)):
        await execute_all(connection, run)
        assert await read_catalog(connection) == result


PARTS = """
CREATE TABLE people (id integer PRIMARY KEY);
CREATE TABLE parts (id integer, owner integer, note text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (90) PARTITION BY RANGE (id);
CREATE TABLE higher PARTITION OF high FOR VALUES FROM (10) TO (50)
"""
OF_PARTS = [
    "CREATE INDEX parts_note ON parts (note) WHERE id > 3",
    "ALTER TABLE parts ADD CONSTRAINT parts_key UNIQUE (id, note)",
    "ALTER TABLE parts ADD CONSTRAINT parts_known CHECK (note <> '')",
    "ALTER TABLE parts ADD CONSTRAINT parts_owner FOREIGN KEY (owner) REFERENCES people",
    "CREATE INDEX only_low ON low (owner)",
    "COMMENT ON INDEX parts_note IS 'To search'",
]


async def test_what_a_partitioned_table_gets_is_built_partition_by_partition(
    empty_database: Database,
) -> None:
    """Its own index and key take those of the partitions as they are: nothing is left to build."""
    async with reader(empty_database.url) as connection:
        await connection.execute(PARTS)
        found = await read_catalog(connection)
        await execute_all(connection, OF_PARTS)
        expected = await read_catalog(connection)
        forwards, backwards = statements(online(expected, found))
        there, back = statements(online(found, expected))
        for run, result in (
            (there, found),
            (forwards, expected),
            (backwards, found),
            (forwards, expected),
            (there, found),
            (back, expected),
        ):
            await execute_all(connection, run)
            assert await read_catalog(connection) == result
    for leaf in ("low", "higher"):
        built = [each for each in forwards if f"ON {leaf} " in each and "INDEX" in each]
        assert built
        assert all(
            each.startswith(("CREATE INDEX CONC", "CREATE UNIQUE INDEX CONC")) for each in built
        )
