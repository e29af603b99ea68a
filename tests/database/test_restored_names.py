"""Names that PostgreSQL chooses depend on what was made first, and are no difference."""

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan
from partman.catalog.render import lines
from tests.catalog import read
from tests.database.ddl_support import statements
from tests.database.restored import restore
from tests.support import Database, execute

# The copy has the name that b's constraint would have by itself.
COPIED = [
    "CREATE TABLE b (id int NOT NULL)",
    "CREATE TABLE a (LIKE b)",
]
NUMBERED = [
    "CREATE TABLE a (id int CONSTRAINT b_id_not_null NOT NULL)",
    "CREATE TABLE b (id int NOT NULL)",
]


def test_not_null_has_the_same_name_with_another_number(
    empty_database: Database, other_database: Database
) -> None:
    execute(empty_database.url, *COPIED)
    restore(empty_database, other_database)
    assert list(lines(compare(read(empty_database.url), read(other_database.url)))) == []


def test_the_number_is_written_as_pg_dump_does(
    empty_database: Database, other_database: Database
) -> None:
    execute(empty_database.url, *NUMBERED)
    expected = read(empty_database.url)
    execute(other_database.url, *statements(plan(expected, read(other_database.url)))[0])
    made = read(other_database.url)
    names = [
        [getattr(each, "null_constraint", None) for each in side.objects]
        for side in (expected, made)
    ]
    assert names[0] == names[1]
