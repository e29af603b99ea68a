"""A catalog does not depend on the role, the session, the server or the moment of reading."""

import asyncio
import base64
import contextlib
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.model import OWNER, Catalog, Column, Constraint, Index, Table
from partman.catalog.read import KnownCatalogs, read_catalog
from partman.catalog.render import lines
from partman.errors import ConcurrentSchemaChangeError
from tests.catalog import read, reader
from tests.database import catalog_on_server
from tests.database.catalog_sample import SAMPLE
from tests.shared import FOLDER_VARIABLE, folder
from tests.support import (
    CONSOLE_TABLES,
    ROOT,
    SIX_TABLES,
    Database,
    as_role,
    clean_environment,
    execute,
    query,
    server_url,
    temporary_database,
)


@pytest.fixture(scope="session")
def sample(template: Database) -> Iterator[Database]:
    """Not to be changed."""
    with temporary_database() as database:
        execute(database.url, *SAMPLE)
        yield database


def test_postgresql_15_and_this_version_give_equal_catalogs() -> None:
    [[version]] = query(server_url(), "SELECT current_setting('server_version_num')::int / 10000")
    if version == 15:
        pytest.skip("this is PostgreSQL 15: there is nothing to compare with")
    here = catalog_on_server.catalog()
    there = subprocess.run(
        [ROOT / ".ci/on-postgresql-15", sys.executable, "-m", "tests.database.catalog_on_server"],
        cwd=ROOT,
        env=clean_environment(**{FOLDER_VARIABLE: str(folder())}),
        capture_output=True,
        text=True,
        check=False,
    )
    if there.stdout.startswith("SKIPPED"):
        pytest.skip(there.stdout)
    assert there.returncode == 0, there.stderr
    found = pickle.loads(base64.b64decode(there.stdout))  # noqa: S301 -- it is our own
    assert list(lines(compare(here, found))) == []
    assert found == here
    assert len(here.objects) > 100


SESSIONS = {
    "a search_path": "SET search_path = shop, public",
    "a time zone": "SET timezone = 'Asia/Tokyo'",
    "a style of dates": "SET datestyle = 'German'",
    "a style of intervals": "SET intervalstyle = 'iso_8601'",
    "a style of bytes": "SET bytea_output = 'escape'",
    "fewer digits": "SET extra_float_digits = -9",
    "names always quoted": "SET quote_all_identifiers = on",
    "read only": "SET default_transaction_read_only = on",
}


@pytest.fixture(scope="module")
def plain(sample: Database) -> Catalog:
    """What a session without settings reads."""
    return read(sample.url)


@pytest.mark.parametrize("session", SESSIONS)
async def test_the_catalog_does_not_depend_on_the_session(
    sample: Database, plain: Catalog, session: str
) -> None:
    other = await asyncpg.connect(sample.url)
    try:
        await other.execute(SESSIONS[session])
        before = await other.fetch("SHOW ALL")
        assert await read_catalog(other) == plain
        assert await other.fetch("SHOW ALL") == before, "the session is as it was"
    finally:
        await other.close()


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"])
async def test_joins_the_open_transaction(sample: Database, begin: str) -> None:
    connection = await asyncpg.connect(sample.url)
    try:
        committed = await read_catalog(connection)
        await connection.execute(begin)
        await connection.execute("SET search_path = shop; SET LOCAL timezone = 'Asia/Tokyo'")
        await connection.execute("CREATE TABLE shop.uncommitted (id integer)")
        [difference, *none] = compare(committed, await read_catalog(connection))
        assert difference.reference.name == "shop.uncommitted"
        assert not none
        assert await connection.fetchval("SHOW search_path") == "shop"
        assert await connection.fetchval("SHOW timezone") == "Asia/Tokyo"
        await connection.execute("INSERT INTO uncommitted VALUES (1)")
        await connection.execute("ROLLBACK")
        assert await read_catalog(connection) == committed
    finally:
        await connection.close()


async def test_reads_any_number_of_objects_in_one_query(empty_database: Database) -> None:
    connection = await asyncpg.connect(empty_database.url)

    async def statements() -> list[str]:
        asked: list[str] = []
        with connection.query_logger(lambda record: asked.append(record.query)):
            await read_catalog(connection)
            await asyncio.sleep(0)  # the loggers' turn
        return asked

    try:
        await read_catalog(connection)  # what few databases have may be asked for once more
        with_nothing = await statements()
        await connection.execute(
            "DO $$ BEGIN FOR i IN 1..50 LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY"
            " KEY, n int REFERENCES t%s)', i, i); END LOOP; END $$"
        )
        assert await statements() == with_nothing
        assert len(with_nothing) == 4, "look for Citus, begin, ask, end"
        assert with_nothing[1].startswith("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    finally:
        await connection.close()


async def test_the_same_rows_are_made_into_a_catalog_once(empty_database: Database) -> None:
    """In whatever order they come: what is made again is at the end of PostgreSQL's catalogs."""
    known = KnownCatalogs()

    async def after(*statements: str) -> Catalog:
        for statement in statements:
            await connection.execute(statement)
        found = await read_catalog(connection, known=known)
        assert found == await read_catalog(connection)
        return found

    async with reader(empty_database.url) as connection:
        made = ("CREATE TABLE a (b int)", "CREATE TABLE b (b int)")
        states = [await after(), await after(*made)]
        assert await after("DROP TABLE a, b") is states[0]
        assert await after(*reversed(made)) is states[1]
        states.append(await after("COMMENT ON COLUMN a.b IS 'x'"))
        assert await after("COMMENT ON COLUMN a.b IS NULL") is states[1]
        assert await after("DROP TABLE a, b") is not states[0]  # two are known


async def test_reads_a_concurrent_change_completely_or_not_at_all(empty_database: Database) -> None:
    """PostgreSQL prints current definitions; those of dropped objects no longer exist."""
    changing = await asyncpg.connect(empty_database.url)
    reading = await asyncpg.connect(empty_database.url)
    seen = set()

    async def change() -> None:
        for _ in range(100):
            await changing.execute(
                "CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 1 CHECK (n > 0));"
                " CREATE INDEX i ON t (n); CREATE VIEW v AS SELECT n FROM t;"
                " CREATE POLICY p ON t USING (n > 1)"
            )
            await changing.execute("DROP TABLE t CASCADE")

    try:
        empty = await read_catalog(reading)
        changes = asyncio.create_task(change())
        while not changes.done():
            with contextlib.suppress(ConcurrentSchemaChangeError):
                catalog = await read_catalog(reading)
                seen.add(tuple(str(d.reference) for d in compare(empty, catalog)))
        await changes
        assert seen <= {(), ("table public.t", "view public.v")}
    finally:
        await changing.close()
        await reading.close()


@pytest.mark.parametrize(
    "dropped",
    [
        "TABLE t",
        "VIEW v",
        "INDEX i",
        "FUNCTION f()",
        "TRIGGER g ON t",
    ],
)
async def test_gives_up_while_the_schema_keeps_changing(
    empty_database: Database, dropped: str
) -> None:
    other = await asyncpg.connect(empty_database.url)
    connection = await asyncpg.connect(empty_database.url)
    try:
        await other.execute(
            "CREATE TABLE t (id int); CREATE TABLE u (id int); CREATE VIEW v AS SELECT id FROM u;"
            " CREATE INDEX i ON t (id);"
            " CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1;"
            " CREATE TRIGGER g BEFORE UPDATE ON t"
            " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        )
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetch("SELECT FROM pg_class")  # from here on it has its snapshot
            await other.execute(f"DROP {dropped}")
            with pytest.raises(ConcurrentSchemaChangeError, match="Nothing was done"):
                await read_catalog(connection)
            assert await connection.fetchval("SELECT 1") == 1, "the transaction goes on"
    finally:
        await other.close()
        await connection.close()


class TestOwner:
    """Two servers have the same schema, and give its owner different names."""

    @pytest.fixture
    def role(self, empty_database: Database) -> Iterator[str]:
        name = f"{empty_database.name}_else"
        execute(server_url(), f"CREATE ROLE {name} LOGIN", f"GRANT {name} TO CURRENT_USER")
        try:
            yield name
        finally:
            execute(
                empty_database.url, f"REASSIGN OWNED BY {name} TO CURRENT_USER",
                f"DROP OWNED BY {name}",
            )  # fmt: skip
            execute(server_url(), f"DROP ROLE {name}")

    def test_has_no_name(self, sample: Database, empty_database: Database, role: str) -> None:
        execute(server_url(), f"ALTER DATABASE {empty_database.name} OWNER TO {role}")
        try:
            url = re.sub(r"//[^@]*@", f"//{role}@", empty_database.url)
            execute(url, *SAMPLE)
            assert list(lines(compare(read(sample.url), read(empty_database.url)))) == []
        finally:
            execute(server_url(), f"ALTER DATABASE {empty_database.name} OWNER TO CURRENT_USER")

    def test_is_whose_ledger_it_is(self, empty_database: Database, role: str) -> None:
        execute(
            empty_database.url,
            f"GRANT CREATE ON SCHEMA public TO {role}",
            "CREATE TABLE t (id int)",
            f"ALTER TABLE t OWNER TO {role}",
        )
        assert self.owner_of_t(read(empty_database.url)) == role
        assert self.owner_of_t(read(empty_database.url, owner=role)) == OWNER
        execute(
            empty_database.url,
            "CREATE TABLE migration (id int)",
            f"ALTER TABLE migration OWNER TO {role}",
        )
        assert self.owner_of_t(read(empty_database.url)) == OWNER

    def owner_of_t(self, catalog: Catalog) -> str:
        [table] = catalog.of(Table)
        return table.owner


def test_lists_the_bookkeeping_only_when_asked(database: Database) -> None:
    without = {table.name.removeprefix("public.") for table in read(database.url).of(Table)}
    assert without == SIX_TABLES | CONSOLE_TABLES
    everything = read(database.url, bookkeeping=True)
    with_it = {table.name.removeprefix("public.") for table in everything.of(Table)}
    assert with_it - without >= {"migration", "migration_history"}
    assert not any("migration" in str(found.reference) for found in read(database.url).objects)


@pytest.mark.parametrize("extension", ["hstore", "pg_buffercache"])
def test_leaves_out_the_objects_of_an_extension(empty_database: Database, extension: str) -> None:
    """Functions, types and operators of the first; a view of the second."""
    before = set(read(empty_database.url).objects)
    try:
        execute(as_superuser(empty_database), f"CREATE EXTENSION {extension}")
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"it takes a superuser: {error}")
    [more] = set(read(empty_database.url).objects) - before
    assert str(more.reference) == f"extension {extension}"


def test_no_acl_equals_the_default_acl(empty_database: Database) -> None:
    """GRANT stores an ACL even if it equals the default."""
    execute(
        empty_database.url,
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (id int)",
        "CREATE SEQUENCE s.q",
        "CREATE TYPE s.e AS ENUM ('a')",
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql RETURN 1",
    )
    before = read(empty_database.url)
    execute(
        empty_database.url,
        f"GRANT CONNECT ON DATABASE {empty_database.name} TO PUBLIC",
        "GRANT USAGE ON SCHEMA s TO CURRENT_USER",
        "GRANT SELECT ON s.t TO CURRENT_USER",
        "GRANT SELECT ON SEQUENCE s.q TO CURRENT_USER",
        "GRANT USAGE ON TYPE s.e TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION s.f() TO PUBLIC",
    )
    lists = query(
        empty_database.url,
        "SELECT (SELECT count(*) FROM pg_class WHERE relacl IS NOT NULL AND oid >= 16384)"
        " + (SELECT count(*) FROM pg_namespace WHERE nspacl IS NOT NULL AND oid >= 16384)"
        " + (SELECT count(*) FROM pg_proc WHERE proacl IS NOT NULL AND oid >= 16384)"
        " + (SELECT count(*) FROM pg_type WHERE typacl IS NOT NULL AND oid >= 16384)"
        " + (SELECT count(datacl) FROM pg_database WHERE datname = current_database())",
    )
    assert lists[0][0] == 6
    assert compare(before, read(empty_database.url)) == []


def as_superuser(database: Database) -> str:
    return as_role(database.url, "postgres")


def test_detects_an_invalid_index(empty_database: Database) -> None:
    execute(empty_database.url, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        execute(empty_database.url, "CREATE UNIQUE INDEX CONCURRENTLY once ON t (id)")
    [index] = read(empty_database.url).of(Index)
    assert not index.valid


def test_detects_a_foreign_key_that_is_not_enforced(empty_database: Database) -> None:
    superuser = as_superuser(empty_database)
    try:
        execute(superuser, "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t)")
    except (asyncpg.PostgresError, OSError) as error:
        pytest.skip(f"only a superuser can disable it: {error}")
    before = read(empty_database.url)
    assert all(constraint.enforced for constraint in before.of(Constraint))
    execute(superuser, "ALTER TABLE t DISABLE TRIGGER ALL")
    assert list(lines(compare(before, read(empty_database.url)))) == [
        "different constraint t_parent_fkey on public.t: enforced",
        "    expected: yes",
        "    found:    no",
    ]


def test_knows_columns_of_postgresql_18(empty_database: Database) -> None:
    try:
        execute(
            empty_database.url,
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL)",
            "ALTER TABLE t ADD CONSTRAINT there NOT NULL a NOT VALID",
        )
    except asyncpg.PostgresSyntaxError:
        pytest.skip("it takes PostgreSQL 18")
    a, b = read(empty_database.url).of(Column)
    assert a.null == "NOT NULL NOT VALID"
    assert b.generated == "(a + 1) VIRTUAL"


def test_reads_the_privilege_maintain(empty_database: Database, template: Database) -> None:
    """PostgreSQL 17 added it; it is listed unless it comes with GRANT ALL."""
    execute(empty_database.url, "CREATE TABLE t (id int)")
    before = read(empty_database.url)
    try:
        execute(empty_database.url, "GRANT MAINTAIN ON t TO partman_app")
    except asyncpg.PostgresError:
        pytest.skip("it takes PostgreSQL 17")
    assert list(lines(compare(before, read(empty_database.url)))) == [
        "extra     grant partman_app on table public.t",
        "    found:    MAINTAIN",
    ]
