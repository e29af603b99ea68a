"""Where the quick comparison finds nothing, the whole one finds nothing, either.

Whatever makes two catalogs differ is in what pg_dump prints, or in what is read beside it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.read import read_beside_dump, read_catalog
from partman.database import pg_dump
from partman.database.pg_dump import PrintedDump
from partman.migration.verification.seal import Seal
from partman.settings import Settings
from tests.catalog import Connection, reader
from tests.database import partition_cases
from tests.database.attribute_cases import CASES, Case
from tests.database.catalog_sample import CHANGES, Change
from tests.database.ddl_random import Drawn, schemas
from tests.database.ddl_support import WITHOUT_SUBSCRIPTIONS
from tests.database.test_rare_kinds import RARE
from tests.summary import stride
from tests.support import (
    Database,
    as_role,
    execute,
    server_url,
    temporary_database,
)

Look: TypeAlias = Callable[[Connection, Database], Awaitable[None]]

INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}'::regclass"
KEY = (
    "CREATE TABLE o (a int PRIMARY KEY);"
    "CREATE TABLE t (a int CONSTRAINT k REFERENCES o, b text); CREATE INDEX i ON t (a)"
)
CHILD = "CREATE TABLE p (a int, CONSTRAINT n CHECK (a > 0){}); CREATE TABLE c () INHERITS (p)"
BODY = (
    "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS"
    " 'BEGIN\nALTER TABLE {} OWNER TO partman;\nEND'"
)

NULLABLE_CHILD = Case(
    "CREATE TABLE p (a int NOT NULL); CREATE TABLE c () INHERITS (p)",
    "ALTER TABLE c ALTER a DROP NOT NULL",
    "",
)
UNTOLD = [
    Case(KEY, f"CREATE INDEX j ON t (b); {INVALID.format('j')}", "", superuser=True),
    Case(KEY, INVALID.format("i"), "", superuser=True),
    Case(
        "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE INDEX i ON p (a)",
        INVALID.format("i"),
        "",
        superuser=True,
    ),
    Case(KEY, "ALTER TABLE t DISABLE TRIGGER ALL", "", superuser=True),
    Case(
        "CREATE TABLE t (a int NOT NULL); CREATE UNIQUE INDEX i ON t (a); DROP INDEX i",
        "CREATE UNIQUE INDEX i ON t (a); ALTER TABLE t REPLICA IDENTITY USING INDEX i;"
        " DROP INDEX i",
        "",
    ),
    Case(CHILD.format(""), "COMMENT ON CONSTRAINT n ON c IS 'x'", ""),
    Case(
        f"{CHILD.format('')}; ALTER TABLE p DROP CONSTRAINT n;"
        " ALTER TABLE p ADD CONSTRAINT n CHECK (a > 0) NOT VALID",
        "ALTER TABLE c VALIDATE CONSTRAINT n",
        "",
    ),
    Case("SELECT", "DROP SCHEMA public", ""),
    Case("SELECT", "ALTER SCHEMA public OWNER TO postgres", "", superuser=True),
    Case(BODY.format("one"), BODY.format("two"), ""),
    NULLABLE_CHILD,
]
"""What pg_dump prints of both is the same, or nearly."""


@dataclass(frozen=True)
class State:
    """A database at a time."""

    catalog: Catalog
    printed: PrintedDump
    beside: Catalog

    @property
    def seal(self) -> Seal:
        return Seal.of(self.catalog, self.printed, self.beside)

    def is_quickly_same_as(self, other: "State") -> bool:
        """Whether the commands say that they are the same, without comparing their catalogs."""
        is_of_live = self.seal.is_of_live(other.printed, other.beside, None)
        return is_of_live or self.seal.is_same_as(other.seal)


async def state(database: Database, connection: Connection) -> State:
    """Return the state of the database that we are connected to."""
    printed = await pg_dump.printed(Settings.load({"DATABASE_URL": database.url}))
    if printed is None:
        pytest.skip("No pg_dump fits this server.")
    return State(await read_catalog(connection), printed, await read_beside_dump(connection))


async def state_of(database: Database) -> State:
    async with reader(database.url) as connection:
        return await state(database, connection)


def requires_a_difference(before: State, after: State) -> None:
    """Require that the quick comparison does not take both for the same."""
    assert compare(before.catalog, after.catalog) != []
    assert not before.is_quickly_same_as(after)
    assert not after.is_quickly_same_as(before)


# The migrations make the roles.
@pytest.mark.usefixtures("template")
@pytest.mark.parametrize("case", UNTOLD, ids=str)
def test_what_pg_dump_does_not_print_is_found(case: Case) -> None:
    _try(case)


# The migrations make the roles.
@pytest.mark.usefixtures("template")
@pytest.mark.parametrize("case", [*CASES, *partition_cases.CASES][:: stride(10)], ids=str)
def test_each_attribute_is_found(case: Case) -> None:
    _try(case)


def _try(case: Case) -> None:
    async def look(connection: Connection, database: Database) -> None:
        version = connection.get_server_version().major
        if version < case.since:
            pytest.skip(f"it takes PostgreSQL {case.since}")
        if case == NULLABLE_CHILD and version >= 18:
            pytest.skip("PostgreSQL 18 refuses it")
        await connection.execute(case.made)
        before = await state(database, connection)
        await connection.execute(case.changed)
        requires_a_difference(before, await state(database, connection))

    with temporary_database() as owners:
        if case.superuser:
            asyncio.run(_as_superuser(owners, look))
        else:
            asyncio.run(_connected(owners, look))


async def _connected(database: Database, look: Look) -> None:
    async with reader(database.url) as connection:
        await look(connection, database)


async def _as_superuser(owners: Database, look: Look) -> None:
    """Look at a database, and drop it: nobody else may end a superuser's session."""
    database = Database(as_role(owners.url, "postgres"))
    async with reader(as_role(server_url(), "postgres")) as server:
        async with reader(database.url) as connection:
            try:
                await look(connection, database)
            finally:
                await connection.execute(WITHOUT_SUBSCRIPTIONS)
        # It may take a moment to end.
        await server.execute(f"DROP DATABASE {owners.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def sealed_sample(sample_template: Database) -> State:
    with temporary_database(sample_template.name) as sample:
        return asyncio.run(state_of(sample))


@pytest.fixture(scope="module")
def sealed_nothing() -> State:
    with temporary_database() as database:
        return asyncio.run(state_of(Database(as_role(database.url, "postgres"))))


def test_the_same_in_another_database_is_the_same(
    sample: Database, sealed_sample: State, empty_database: Database, sealed_nothing: State
) -> None:
    """So what the next tests find is their change."""
    for database, sealed in ((sample, sealed_sample), (empty_database, sealed_nothing)):
        again = asyncio.run(state_of(database))
        assert compare(sealed.catalog, again.catalog) == []
        assert sealed.seal.is_of_live(again.printed, again.beside, None)
        assert sealed.seal.is_same_as(again.seal)


@pytest.mark.parametrize("change", CHANGES[:: stride(10)], ids=lambda change: change.headline)
def test_each_change_to_the_sample_is_found(
    sample: Database, sealed_sample: State, change: Change
) -> None:
    async def look(connection: Connection, database: Database) -> None:
        await connection.execute(change.sql)
        requires_a_difference(sealed_sample, await state(database, connection))

    asyncio.run(_connected(sample, look))


@pytest.mark.parametrize("kind", RARE)
def test_each_rare_kind_is_found(sealed_nothing: State, kind: str) -> None:
    async def look(connection: Connection, database: Database) -> None:
        await connection.execute(RARE[kind])
        requires_a_difference(sealed_nothing, await state(database, connection))

    with temporary_database() as database:
        asyncio.run(_as_superuser(database, look))


# The migrations make the roles.
@pytest.mark.usefixtures("template")
@settings(
    max_examples=50 // stride(10),
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=schemas(), number=st.integers(0, 1000))
def test_a_schema_without_one_of_its_statements_is_found(drawn: Drawn, number: int) -> None:
    """And the same schema, made once more, is taken for the same at once."""
    left_out = number % len(drawn.statements)
    others = [sql for place, sql in enumerate(drawn.statements) if place != left_out]
    with temporary_database() as one, temporary_database() as other, temporary_database() as less:
        for database in (one, other):
            execute(database.url, *drawn.statements)
        made, again = asyncio.run(state_of(one)), asyncio.run(state_of(other))
        assert made.seal.is_of_live(again.printed, again.beside, None)
        assert made.seal.is_same_as(again.seal)
        with contextlib.suppress(asyncpg.PostgresError):  # what needs the statement left out
            execute(less.url, *others)
        lacking = asyncio.run(state_of(less))
        if compare(made.catalog, lacking.catalog):
            assert not made.is_quickly_same_as(lacking)


def test_the_owner_counts(empty_database: Database) -> None:
    found = asyncio.run(state_of(empty_database))
    another = replace(found.printed, owner="somebody")
    assert not found.seal.is_of_live(another, found.beside, None)
