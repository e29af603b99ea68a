"""Comparing catalogs finds each change of a schema, as exactly one difference."""

import pytest

from partman.catalog.compare import Difference, Verdict, compare
from partman.catalog.model import Catalog
from partman.catalog.read import read_catalog
from partman.catalog.render import headline, lines, sides
from tests.catalog import Connection
from tests.database.catalog_sample import CHANGES, NO_CHANGES, Change

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_copy_is_equal(in_sample: Connection, expected: Catalog) -> None:
    found = await read_catalog(in_sample)
    assert compare(expected, found) == []
    assert found == expected
    assert hash(found) == hash(expected)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.headline)
async def test_detects_each_change(
    in_sample: Connection, expected: Catalog, change: Change
) -> None:
    await in_sample.execute(change.sql)
    found = await read_catalog(in_sample)
    differences = compare(expected, found)
    assert [headline(difference) for difference in differences] == [change.headline]
    if change.expected or change.found:
        assert sides(differences[0]) == (change.expected, change.found)
    assert found != expected


@pytest.mark.parametrize("change", NO_CHANGES)
async def test_ignores_equivalent_forms(
    in_sample: Connection, expected: Catalog, change: str
) -> None:
    await in_sample.execute(NO_CHANGES[change])
    assert compare(expected, await read_catalog(in_sample)) == []


async def test_differences_are_in_the_objects_order(
    in_sample: Connection, expected: Catalog
) -> None:
    await in_sample.execute(
        "GRANT SELECT ON shop.cache TO PUBLIC;"
        "CREATE TABLE shop.left_behind (id int);"
        "DROP INDEX shop.partners_sad;"
        "ALTER TABLE shop.partners DISABLE ROW LEVEL SECURITY;"
        "ALTER TABLE shop.partners ALTER website TYPE varchar(9), ALTER website SET NOT NULL;"
        "CREATE OR REPLACE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql"
        " SET search_path = '' AS $$ BEGIN RETURN OLD; END $$",
    )
    assert list(lines(compare(expected, await read_catalog(in_sample)))) == [
        "extra     table shop.left_behind",
        "different table shop.partners: row_security",
        "    expected: yes",
        "    found:    no",
        "different column shop.partners.website: type",
        "    expected: text",
        "    found:    character varying(9)",
        "different column shop.partners.website: null",
        "    expected: NULL",
        "    found:    NOT NULL",
        "missing   index shop.partners_sad",
        "    expected: CREATE INDEX partners_sad ON shop.partners USING btree (id)"
        " WHERE (mood = 'sad'::shop.mood)",
        "different function shop.touch(): definition",
        "    --- expected",
        "    +++ found",
        "      LANGUAGE plpgsql",
        "      SET search_path TO ''",
        "    -AS $function$ BEGIN RETURN NEW; END $function$",
        "    +AS $function$ BEGIN RETURN OLD; END $function$",
        "extra     grant PUBLIC on table shop.cache",
        "    found:    SELECT",
    ]


async def test_swapped_catalogs_give_opposite_differences(
    in_sample: Connection, expected: Catalog
) -> None:
    """A missing object becomes an extra one when the catalogs are swapped."""
    await in_sample.execute(
        "DROP INDEX shop.partners_sad;"
        "CREATE TABLE shop.more (id serial PRIMARY KEY);"
        "ALTER TABLE shop.partners NO FORCE ROW LEVEL SECURITY"
    )
    found = await read_catalog(in_sample)
    reversed_ = {Verdict.MISSING: Verdict.EXTRA, Verdict.EXTRA: Verdict.MISSING}
    there = compare(expected, found)
    assert len(there) == 3
    assert compare(found, expected) == [
        Difference(
            reversed_.get(each.verdict, each.verdict), each.found, each.expected, each.attribute
        )
        for each in there
    ]
