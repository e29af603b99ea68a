"""``partman new`` writes extras of every kind, or refuses them by name."""

from collections.abc import Sequence

import pytest

from tests.database.new_support import is_complete, new, text, written
from tests.several_apps import SeveralApps

pytestmark = pytest.mark.same_on_every_version

WRITTEN = (
    "ALTER TABLE author ALTER name SET STATISTICS 500",
    "ALTER TABLE author ALTER name SET STORAGE EXTERNAL",
    "ALTER TABLE author ALTER name SET COMPRESSION pglz",
    "ALTER TABLE author ALTER name SET (n_distinct = -0.5)",
    "ALTER TABLE author SET (fillfactor = 50, toast.autovacuum_enabled = false)",
    "CREATE INDEX author_name ON author (name)",
    "ALTER TABLE author CLUSTER ON author_name",
    "ALTER TABLE author REPLICA IDENTITY FULL",
    "CREATE VIEW authors AS SELECT id, name FROM author",
    "ALTER VIEW authors ALTER name SET DEFAULT 'nobody'",
    "CREATE RULE quiet AS ON DELETE TO authors DO INSTEAD NOTHING",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER touch BEFORE UPDATE ON author EXECUTE FUNCTION touch()",
    "ALTER TABLE author ENABLE ALWAYS TRIGGER touch",
    "CREATE STATISTICS names ON id, name FROM author",
    "ALTER STATISTICS names SET STATISTICS 7",
    "CREATE PUBLICATION authors FOR TABLE author (id) WHERE (id > 5)",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''9MB''',"
    " current_database()); END $$",
    "CREATE TYPE period AS RANGE (subtype = date)",
    "CREATE TYPE place AS (street text)",
    "COMMENT ON COLUMN place.street IS 'and number'",
    "CREATE UNLOGGED SEQUENCE numbers",
)

REFUSED = {
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)": (
        "operator public.===(integer,integer)"
    ),
    "CREATE TYPE place AS (street text)": None,
    "CREATE CAST (place AS text) WITH INOUT": "cast (public.place AS pg_catalog.text)",
    'CREATE COLLATION plain (locale = "C")': "collation public.plain",
    "CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8": "conversion public.c",
    "CREATE TEXT SEARCH CONFIGURATION ours (COPY = simple)": (
        "text search configuration public.ours"
    ),
    "CREATE TEXT SEARCH DICTIONARY ours (TEMPLATE = simple)": "text search dictionary public.ours",
    "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)": "aggregate public.total(integer)",
}
"""What is refused, with the name by which."""


def _declare(several: SeveralApps, extras: Sequence[str]) -> None:
    several.register("blog")
    listed = "".join(f"\n        {statement!r}," for statement in extras)
    several.app(
        "blog", f"class Author(Table):\n    name = Varchar()\n    extras = ({listed}\n    )\n"
    )


def test_of_every_kind_are_written(several: SeveralApps) -> None:
    _declare(several, WRITTEN)
    written(several, "first")
    assert "ALTER COLUMN name SET STATISTICS 500" in text(several, "blog")
    is_complete(several)


def test_of_every_other_kind_are_refused_by_name(several: SeveralApps) -> None:
    _declare(several, tuple(REFUSED))
    refused = new(several, "first")
    assert refused.code == 1, refused.output
    assert several.files("blog") == []
    assert [
        name
        for name in REFUSED.values()
        if name and f"missing   {name}\n" not in (refused.stderr + "\n")
    ] == []
