"""What few databases have is left out of the statement that reads them, until it is there."""

import pytest

from partman.catalog import queries, read
from partman.catalog.model import Catalog
from partman.catalog.rare_kinds import ALL, FOUND
from partman.catalog.read import read_catalog
from tests.catalog import Connection, reader
from tests.support import Database, as_role

TYPES = {
    "an enum": "CREATE TYPE mood AS ENUM ('sad')",
    "a domain": "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)",
    "a composite type": "CREATE TYPE pair AS (a int, b int)",
    "a range": "CREATE TYPE span AS RANGE (subtype = float8)",
}
OTHERS = {
    "a shell type": "CREATE TYPE shell",
    "a base type": (
        "CREATE TYPE base;"
        "CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal STRICT IMMUTABLE"
        " AS 'int4in';"
        "CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE"
        " AS 'int4out';"
        "CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4, CATEGORY = 'A')"
    ),
    "an access method": "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
    "a cast between PostgreSQL's own types": "CREATE CAST (box AS text) WITH INOUT",
    "a collation": 'CREATE COLLATION plain FROM "C"',
    "a conversion": "CREATE CONVERSION other FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "an event trigger": (
        "CREATE FUNCTION ignore() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER ignoring ON ddl_command_start EXECUTE FUNCTION ignore()"
    ),
    "a foreign-data wrapper": "CREATE FOREIGN DATA WRAPPER elsewhere",
    "a user mapping": (
        "CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;"
        "CREATE USER MAPPING FOR PUBLIC SERVER far"
    ),
    "a language": "CREATE LANGUAGE mine HANDLER plpgsql_call_handler",
    "an operator": "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
    "an operator family": "CREATE OPERATOR FAMILY kin USING btree",
    "a text search configuration": "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)",
    "a text search dictionary": "CREATE TEXT SEARCH DICTIONARY few (TEMPLATE = simple)",
    "a text search parser": (
        "CREATE TEXT SEARCH PARSER cut (START = prsd_start, GETTOKEN = prsd_nexttoken,"
        " END = prsd_end, LEXTYPES = prsd_lextype)"
    ),
    "a text search template": "CREATE TEXT SEARCH TEMPLATE bare (LEXIZE = dsimple_lexize)",
    "a transform": (
        "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))"
    ),
    "a subscription": (
        "CREATE SUBSCRIPTION partman_rare CONNECTION 'dbname=x' PUBLICATION p"
        " WITH (connect = false, slot_name = NONE, enabled = false, create_slot = false)"
    ),
}
RARE = {
    **TYPES,
    **OTHERS,
    "a partition": (
        "CREATE TABLE log (day date) PARTITION BY RANGE (day);"
        "CREATE TABLE old PARTITION OF log DEFAULT"
    ),
    "an inherited table": "CREATE TABLE above (a int); CREATE TABLE below () INHERITS (above)",
    "a rule": "CREATE TABLE t (a int); CREATE RULE no AS ON DELETE TO t DO INSTEAD NOTHING",
    "statistics": "CREATE TABLE t (a int, b int); CREATE STATISTICS two ON a, b FROM t",
    "a publication": "CREATE PUBLICATION nothing",
    "a published table": "CREATE TABLE t (a int); CREATE PUBLICATION p FOR TABLE t",
    "a published schema": "CREATE PUBLICATION p FOR TABLES IN SCHEMA public",
    "a setting": "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 99', "
    "current_database()); END$$",
    "default privileges": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
}


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_kinds", set())


async def _found(connection: Connection, kinds: frozenset[str]) -> set[str]:
    """Return the names of the classes of which there are rows, and of the rare kinds."""
    rows = await connection.fetch(queries.statement(kinds), [], None)
    return {name if name != FOUND else row.strip('"') for name, row in rows}


def _whole(catalog: Catalog) -> tuple[object, ...]:
    return catalog.objects, catalog.not_compared, catalog.dependencies


async def test_each_is_read_as_soon_as_it_is_there(empty_database: Database) -> None:
    async with reader(as_role(empty_database.url, "postgres")) as connection:
        usual = await read_catalog(connection)
        assert ALL.isdisjoint(await _found(connection, frozenset()))
        for name, sql in RARE.items():
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(sql)
            read._kinds.clear()
            found = await read_catalog(connection)
            assert read._kinds, name
            read._kinds.update(ALL)
            assert _whole(await read_catalog(connection)) == _whole(found), name
            assert found != usual, name
            await transaction.rollback()
        read._kinds.clear()
        assert await read_catalog(connection) == usual


@pytest.mark.asyncio(loop_scope="module")
async def test_each_is_read_beside_all_others_that_were_met_before(in_sample: Connection) -> None:
    read._kinds.update(ALL)
    everything = await read_catalog(in_sample)
    met = set(read._kinds)
    assert met == ALL - {"publication", "setting"}
    for kind in met:
        read._kinds.discard(kind)
        assert _whole(await read_catalog(in_sample)) == _whole(everything)
        assert read._kinds == met


async def test_a_table_in_a_tablespace_is_told(database: Database, tablespace: str) -> None:
    async with reader(database.url) as connection:
        await connection.execute(f"CREATE TABLE placed (a int) TABLESPACE {tablespace}")
        told = [str(each) for each in (await read_catalog(connection)).not_compared]
        assert told == [f"tablespace {tablespace} of public.placed"]
