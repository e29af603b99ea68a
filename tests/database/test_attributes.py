"""Whatever an object can carry is read, compared, and written in both directions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from partman.catalog.other_queries import READ_IN_FULL, ROWS_ALONE, WITH_PARTS
from partman.catalog.queries import statement
from partman.catalog.rare_kinds import ALL
from partman.catalog.render import headline
from tests.database import partition_cases
from tests.database.attribute_cases import CASES, Case
from tests.database.ddl_support import apply, catalog_of, statements
from tests.support import Database, as_role, query, temporary_database

Check = Callable[["asyncpg.Connection[asyncpg.Record]", Case], Awaitable[None]]


@pytest.fixture(scope="module")
def blank(template: Database) -> Iterator[Database]:
    """An empty database, on a server where the migrations have made the roles."""
    with temporary_database() as database:
        yield database


@pytest.fixture(scope="module")
def session(blank: Database) -> Iterator["Session"]:
    """A session that keeps its plans from case to case."""
    with asyncio.Runner() as runner:
        yield (opened := Session(blank.url, runner))
        opened.close()


class Session:
    """One connection as the owner, and one as a superuser."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._url, self._runner = url, runner
        self._connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}

    def run(self, case: Case, check: Check) -> None:
        self._runner.run(self._run(case, check))

    async def _run(self, case: Case, check: Check) -> None:
        url = as_role(self._url, "postgres") if case.superuser else self._url
        if url not in self._connections:
            try:
                # The statement that reads a catalog is long, and takes long to plan.
                connection = await asyncpg.connect(url, max_cacheable_statement_size=0)
            except (asyncpg.PostgresError, OSError) as error:
                pytest.skip(f"it takes a superuser: {error}")
            await connection.execute("SET plan_cache_mode = force_generic_plan")
            self._connections[url] = connection
        connection = self._connections[url]
        if connection.get_server_version().major < case.since:
            pytest.skip(f"it takes PostgreSQL {case.since}")
        try:
            await connection.execute("BEGIN")
            await check(connection, case)
        finally:
            await connection.execute("ROLLBACK")

    def close(self) -> None:
        for connection in self._connections.values():
            self._runner.run(connection.close())


@pytest.mark.parametrize("case", [*CASES, *partition_cases.CASES], ids=str)
def test_is_compared_and_written_both_ways(session: Session, case: Case) -> None:
    session.run(case, _there_and_back)


@pytest.mark.parametrize("case", [each for each in partition_cases.CASES if each.written], ids=str)
def test_what_is_done_with_the_parent_is_undone(session: Session, case: Case) -> None:
    session.run(case, _back)


@pytest.mark.parametrize("case", partition_cases.ONE_WAY, ids=str)
def test_what_nothing_takes_back_is_written_forwards(session: Session, case: Case) -> None:
    session.run(case, _there)


@pytest.mark.parametrize(
    ("made", "changed"),
    [
        ("CREATE TYPE c AS (a int, b text)", "CREATE TYPE c AS (b text, a int)"),
        ("CREATE DOMAIN c AS int", "CREATE DOMAIN c AS bigint"),
        ("CREATE TYPE c AS RANGE (SUBTYPE = int)", "CREATE TYPE c AS RANGE (SUBTYPE = bigint)"),
    ],
)
def test_a_type_that_a_column_has_is_not_made_again(
    session: Session, made: str, changed: str
) -> None:
    """The column has values."""

    async def check(connection: "asyncpg.Connection[asyncpg.Record]", _: Case) -> None:
        found = []
        for sql in (made, changed):
            await connection.execute(f"SAVEPOINT s; {sql}; CREATE TABLE t (c c)")
            found.append(await catalog_of(connection))
            await connection.execute("ROLLBACK TO s")
        remedy = plan(found[1], found[0])
        assert remedy.changes == ()
        told = [str(each.reference) for each in remedy.unwritten]
        assert told[0] == "column public.t.c"
        assert told[1].endswith(" public.c")

    session.run(Case("", "", ""), check)


async def _there(connection: "asyncpg.Connection[asyncpg.Record]", case: Case) -> None:
    await connection.execute(case.made)
    made = await catalog_of(connection)
    await connection.execute(f"SAVEPOINT s; {case.changed}")
    changed = await catalog_of(connection)
    await connection.execute("ROLLBACK TO s")
    differences = compare(changed, made)
    assert [headline(each)[10:] for each in differences] == [case.headline, *case.more]
    remedy = plan(changed, made)
    assert remedy.unwritten == tuple(differences)
    assert remedy.unwritten_forwards == ()
    await apply(connection, statements(remedy)[0], changed)


async def _there_and_back(connection: "asyncpg.Connection[asyncpg.Record]", case: Case) -> None:
    """Change it, take the change back, make all of it from nothing, and drop all of it."""
    nothing = await catalog_of(connection)
    await connection.execute(case.made)
    made = await catalog_of(connection)
    await connection.execute(case.changed)
    changed = await catalog_of(connection)
    differences = compare(made, changed)
    found = sorted(headline(each)[10:] for each in differences)
    assert found == sorted([case.headline, *case.more])
    remedy = plan(made, changed)
    assert list(remedy.unwritten) == ([] if case.written else differences)
    if case.written:
        there, back = statements(remedy)
        await apply(connection, there, made)
        await apply(connection, back, changed)
        if case.alone:
            await _from_nothing(connection, nothing, changed)


async def _back(connection: "asyncpg.Connection[asyncpg.Record]", case: Case) -> None:
    """Take the change back by the statements that undo it."""
    await connection.execute(case.made)
    made = await catalog_of(connection)
    await connection.execute(case.changed)
    remedy = plan(await catalog_of(connection), made)
    await apply(connection, statements(remedy)[1], made)


async def _from_nothing(
    connection: "asyncpg.Connection[asyncpg.Record]", nothing: Catalog, all_of_it: Catalog
) -> None:
    remedy = plan(nothing, all_of_it)
    assert remedy.unwritten == ()
    there, back = statements(remedy)
    await apply(connection, there, nothing)
    await apply(connection, back, all_of_it)


NO_SCHEMA = {
    "pg_auth_members": "roles",
    "pg_authid": "roles",
    "pg_description": "read by obj_description()",
    "pg_init_privs": "what an extension grants",
    "pg_largeobject": "rows",
    "pg_largeobject_metadata": "rows",
    "pg_parameter_acl": "roles",
    "pg_partitioned_table": "read by pg_get_partkeydef()",
    "pg_replication_origin": "the progress of subscriptions",
    "pg_shdepend": "owners and grantees, which each object has",
    "pg_shdescription": "comments on databases and roles",
    "pg_shseclabel": "labels of databases and roles",
    "pg_statistic": "statistics",
    "pg_statistic_ext_data": "statistics",
    "pg_subscription_rel": "the progress of subscriptions",
    "pg_tablespace": "places on a server",
}
"""Catalogs that hold nothing of a database's schema, and those that are not read in full."""


def test_every_catalog_of_postgresql_is_read(blank: Database) -> None:
    """A catalog of a newer version is listed as not compared until it is."""
    rows = query(
        blank.url,
        "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'pg_catalog'::regnamespace",
    )
    catalogs = {name for (name,) in rows}
    assert {name for name in catalogs if name not in statement(ALL)} <= NO_SCHEMA.keys()
    # Those with objects, which pg_depend knows.
    known = {*ROWS_ALONE, *WITH_PARTS, *READ_IN_FULL}
    [[unknown]] = query(
        blank.url,
        "SELECT array_agg(DISTINCT classid::regclass::text) FROM pg_depend"
        f" WHERE classid::regclass::text <> ALL (ARRAY{sorted(known)})",
    )
    assert set(unknown or ()) <= NO_SCHEMA.keys()
    assert known <= catalogs


async def test_what_cannot_be_read_is_listed_as_not_compared(blank: Database) -> None:
    try:
        connection = await asyncpg.connect(as_role(blank.url, "postgres"))
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"it takes a superuser: {error}")
    try:
        assert (await catalog_of(connection)).not_compared == ()
        await connection.execute(
            "BEGIN; CREATE TABLE t (a int, b text);"
            " CREATE SUBSCRIPTION u CONNECTION '' PUBLICATION p WITH (connect = false);"
            " CREATE FOREIGN DATA WRAPPER w; CREATE SERVER r FOREIGN DATA WRAPPER w;"
            " CREATE USER MAPPING FOR CURRENT_USER SERVER r OPTIONS (a 'b');"
            " SET LOCAL ROLE partman_app"
        )
        assert list(map(str, (await catalog_of(connection)).not_compared)) == [
            "connection of subscription u",
            "options of user mapping postgres on server r",
        ]
    finally:
        await connection.execute("ROLLBACK")
        await connection.close()
