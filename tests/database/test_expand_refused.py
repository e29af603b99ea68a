"""What a trigger could not keep in step is refused by name, and what is quick is left in place."""

from collections.abc import Iterator
from dataclasses import replace

import asyncpg
import pytest

from partman.catalog.expansions import OpenContract
from partman.catalog.model import Catalog, Column, Reference, sort_key
from partman.catalog.read import read_catalog
from partman.errors import NotExpressibleError
from partman.migration.autogenerate.expand import facts
from partman.migration.autogenerate.expand.draft import refuse_kinds
from partman.migration.autogenerate.expand.find import Changed
from partman.migration.autogenerate.expand.trial import refuse_open_ones
from tests.support import execute, temporary_database

pytestmark = pytest.mark.same_on_every_version

_TABLES = """
CREATE TYPE label AS ENUM ('a');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE plain (id int PRIMARY KEY, number int, words text, at timestamp, kept text NOT NULL);
CREATE TABLE keyless (number int);
CREATE TABLE own (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    doubled int GENERATED ALWAYS AS (1 + 1) STORED,
    counted serial,
    token uuid DEFAULT gen_random_uuid()
);
CREATE TABLE parts (id int PRIMARY KEY, number int) PARTITION BY RANGE (id);
CREATE TABLE late (id int PRIMARY KEY, number int);
CREATE TABLE watched (id int PRIMARY KEY, number int);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER zzzz BEFORE UPDATE ON late FOR EACH ROW EXECUTE FUNCTION f();
CREATE TRIGGER watch AFTER UPDATE OF number ON watched FOR EACH ROW EXECUTE FUNCTION f();
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with temporary_database() as database:
        execute(database.url, _TABLES)
        yield database.url


def column(catalog: Catalog, name: str) -> Column:
    found = catalog.by_reference[Reference("column", f"public.{name}")]
    assert isinstance(found, Column)
    return found


REFUSED = {
    "keyless.number": ("bigint", "has no primary key"),
    "plain.at": ("timestamp with time zone", "depends on settings of the session"),
    "plain.words": ("date", "depends on settings of the session"),
    "plain.number": ("point", "there is no cast from integer to point"),
    "own.id": ("bigint", "GENERATED AS IDENTITY"),
    "own.doubled": ("bigint", "it is a generated column"),
    "parts.number": ("bigint", "is partitioned"),
    "late.number": ("bigint", "the trigger zzzz would run after"),
}
RENAMED = {
    "watched.number": "the trigger watch is for UPDATE OF number",
    "plain.id": "it is in the primary key",
    "own.counted": "it has a sequence of its own",
    "own.token": "has a default that differs each time",
}


@pytest.mark.parametrize("name", [*REFUSED, *RENAMED])
async def test_is_refused_by_name(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        catalog = await read_catalog(connection)
        before = column(catalog, name)
        if name in RENAMED:
            after, reason = replace(before, name="other"), RENAMED[name]
        else:
            to, reason = REFUSED[name]
            after = replace(before, type=to)
        changed = Changed(before, after)
        named = changed.expanded(catalog, catalog)
        named = replace(named, has_volatile_default=await facts.is_volatile(connection, after))

        async def refuse() -> None:
            refuse_kinds([changed], [named], catalog, catalog)
            await facts.refuse_what_cannot_be_kept_in_step(connection, named)

        with pytest.raises(NotExpressibleError, match=reason) as refused:
            await refuse()
        assert f"public.{name}" in str(refused.value)
        assert "--in-place" in str(refused.value)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("before", "after", "rewritten"),
    [
        ("character varying(20)", "character varying(50)", False),
        ("character varying(20)", "text", False),
        ("character varying(50)", "character varying(20)", True),
        ("text", "label", True),
        ("text", "no_such_type_yet", True),
        ("integer", "bigint", True),
        ("bigint", "integer", True),
        ("numeric(8,2)", "numeric(10,2)", False),
        ("numeric(8,2)", "numeric(10,4)", True),
        ("timestamp without time zone", "timestamp with time zone", True),
        ("integer", "positive", True),
    ],
)
async def test_only_what_rewrites_the_table_is_expanded(
    url: str, before: str, after: str, rewritten: bool
) -> None:
    connection = await asyncpg.connect(url)
    try:
        any_column = column(await read_catalog(connection), "plain.number")
        pair = replace(any_column, type=before), replace(any_column, type=after)
        assert await facts.rewrites(connection, *pair) is rewritten
    finally:
        await connection.close()


@pytest.mark.parametrize("to", [None, "text"])
async def test_a_column_with_an_open_contract_stays_as_it_is(url: str, to: str | None) -> None:
    """It neither goes nor changes: the trigger would fail for every row."""
    connection = await asyncpg.connect(url)
    try:
        found = await read_catalog(connection)
    finally:
        await connection.close()
    before = column(found, "plain.number")
    objects = [each for each in found.objects if each != before]
    if to is not None:
        objects.append(replace(before, type=to))
    expected = Catalog(tuple(sorted(objects, key=sort_key)))
    contract = OpenContract(
        "public.plain", "number", "number_old", is_renamed=False, expanded_by="1"
    )
    refuse_open_ones([contract], {}, found, found)
    with pytest.raises(NotExpressibleError, match="partman new --contract"):
        refuse_open_ones([contract], {}, expected, found)
