"""Migrations whose effect depends on rows, with the verdict of a plan and a reason for it."""

from dataclasses import dataclass

ONLINE = "manager.online()"

LIVE = [
    "CREATE TABLE parents (id int PRIMARY KEY, name text, tier text)",
    "CREATE TABLE children (id int PRIMARY KEY, parent int, at timestamp, note varchar(50))",
    "CREATE DOMAIN size AS int",
    "CREATE DOMAIN other AS int",
    "CREATE TABLE boxes (id int PRIMARY KEY, wide size, free other)",
    "CREATE TYPE mood AS ENUM ('calm', 'cross', 'odd')",
    "CREATE TABLE people (id int PRIMARY KEY, mood mood)",
    "CREATE TABLE empty (id int PRIMARY KEY)",
    """
    CREATE FUNCTION backfill() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE found int;
    BEGIN
        FOR found IN SELECT id FROM parents LOOP
            UPDATE children SET note = 'x' WHERE parent = found;
        END LOOP;
    END $$
    """,
    "CREATE FUNCTION \"Count\"() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM parents'",
    "CREATE FUNCTION plain() RETURNS int LANGUAGE sql STABLE AS 'SELECT id FROM parents LIMIT 1'",
    "CREATE PROCEDURE fill() LANGUAGE sql AS 'UPDATE parents SET tier = name WHERE tier = ''t'''",
]
ROWS = [
    "INSERT INTO parents SELECT i, 'n', 't' FROM generate_series(1, 7) AS i",
    "INSERT INTO children SELECT i, 1, '2026-03-09 12:00', 'n' FROM generate_series(1, 3) AS i",
    "INSERT INTO boxes VALUES (1, 1, 1)",
    "INSERT INTO people VALUES (1, 'calm'), (2, 'odd'), (3, 'odd')",
]
TABLES = ("parents", "children", "boxes", "people")


@dataclass(frozen=True)
class Case:
    """A pending migration, and what a plan says of it."""

    forwards: list[str]
    level: str
    because: str = ""
    """A part of one of the reasons."""
    more: str = ""


def _swapped(labels: str, using: str) -> list[str]:
    return [
        "ALTER TYPE mood RENAME TO old_mood",
        f"CREATE TYPE mood AS ENUM ({labels})",
        f"ALTER TABLE people ALTER COLUMN mood TYPE mood USING {using}",
    ]


_CODE = "reads or changes"
_CONDITION = "that meet a condition"
_QUERY = "what a query returns"
_DEPENDS = "depends on rows"

CASES = {
    # Code with statements of its own
    "a function": Case(["SELECT backfill()"], _DEPENDS, f"backfill() {_CODE} parents"),
    "a function in a condition": Case(
        ['SELECT 1 WHERE "Count"() > 1'], _DEPENDS, f'"Count"() {_CODE} parents'
    ),
    "a function in values": Case(
        ['INSERT INTO empty VALUES ("Count"())'], _DEPENDS, f'"Count"() {_CODE} empty, parents'
    ),
    "a function in a query": Case(
        ["SELECT * FROM public.backfill() AS found"], _DEPENDS, f"backfill() {_CODE} parents"
    ),
    "a procedure": Case(["CALL fill()"], _DEPENDS, f"fill() {_CODE} parents"),
    "a function that is made here": Case(
        [
            "CREATE FUNCTION made() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM people'",
            "SELECT made()",
        ],
        _DEPENDS,
        f"made() {_CODE} people",
    ),
    "a block that reads": Case(
        ["DO $$ BEGIN IF EXISTS (SELECT FROM people) THEN CREATE TABLE x (); END IF; END $$"],
        _DEPENDS,
        f"a DO block {_CODE} people",
    ),
    "a block that reads while it is locked": Case(
        [
            "ALTER TABLE people ADD COLUMN more int",
            "DO $$ BEGIN PERFORM FROM people; END $$",
        ],
        _DEPENDS,
        f"a DO block {_CODE} people",
    ),
    "a block that hides an update": Case(
        ["DO $$ BEGIN EXECUTE 'UP' || 'DATE people SET mood = NULL'; END $$"],
        _DEPENDS,
        f"a DO block {_CODE} people",
    ),
    "a prepared statement": Case(
        ["PREPARE p AS UPDATE people SET id = id WHERE id = 1", "EXECUTE p"],
        _DEPENDS,
        f"a prepared statement {_CODE} people",
    ),
    "Python": Case(
        [],
        _DEPENDS,
        "runs Python code: look()",
        """
        from piccolo.table import Table

        class People(Table):
            pass

        async def look():
            if await People.raw("SELECT FROM people"):
                await People.raw("ALTER TABLE people DROP COLUMN mood")

        manager.add_raw(look)
        """,
    ),
    "a block without rows": Case(["DO $$ BEGIN CREATE TABLE y (); END $$"], "safe live"),
    "a block about a new table": Case(
        ["CREATE TABLE z (id int)", "DO $$ BEGIN INSERT INTO z VALUES (1); END $$"], "safe live"
    ),
    "a stable function": Case(["SELECT plain()"], "safe live"),
    "a function of PostgreSQL": Case(["SELECT count(*), random() FROM people"], "safe live"),
    "a function in a definition": Case(
        ['CREATE POLICY p ON people USING ("Count"() > 1)'], "brief lock"
    ),
    # Changes whose reach is unknown
    "an update": Case(["UPDATE parents SET tier = 'y' WHERE tier = 't'"], _DEPENDS, _CONDITION),
    "an update of a join": Case(
        ["UPDATE parents SET tier = 'y' FROM children"], _DEPENDS, _CONDITION
    ),
    "a delete": Case(["DELETE FROM children WHERE id > 0"], _DEPENDS, _CONDITION),
    "a delete of a join": Case(["DELETE FROM people USING boxes"], _DEPENDS, _CONDITION),
    "a merge": Case(
        [
            "MERGE INTO parents p USING (VALUES (1)) AS v(id) ON p.id = v.id"
            " WHEN MATCHED THEN UPDATE SET tier = 'm'"
        ],
        _DEPENDS,
        _CONDITION,
    ),
    "in a WITH clause": Case(
        ["WITH gone AS (DELETE FROM people WHERE id = 1 RETURNING 1) SELECT 1"],
        _DEPENDS,
        _CONDITION,
    ),
    "an insert of a query": Case(["INSERT INTO empty SELECT id FROM parents"], _DEPENDS, _QUERY),
    "a new table of a query": Case(
        ["CREATE TABLE copied AS SELECT id FROM parents"], _DEPENDS, _QUERY
    ),
    "the second statement of a string": Case(
        ["SELECT 1; UPDATE public.parents SET tier = 'y' WHERE id = 1"], _DEPENDS, _CONDITION
    ),
    "a step of a column that is new": Case(
        [
            "ALTER TABLE parents ADD COLUMN fresh int",
            "UPDATE parents SET fresh = 1 WHERE fresh IS NULL",
        ],
        _DEPENDS,
        _CONDITION,
        ONLINE,
    ),
    "a portion": Case(
        ["UPDATE parents SET tier = 'y' WHERE id BETWEEN 1 AND 3"],
        "brief lock",
        "keeps the rows of parents",
        ONLINE,
    ),
    "values": Case(["INSERT INTO empty VALUES (1), (2)"], "safe live"),
    "values of a series": Case(["INSERT INTO empty SELECT generate_series(5, 6)"], "safe live"),
    "rows of a new table": Case(
        [
            "CREATE TABLE w (id int)",
            "INSERT INTO w SELECT id FROM w",
            "UPDATE w SET id = 1 WHERE id = 2",
        ],
        "safe live",
    ),
    # Domains
    "a check of a domain": Case(
        ["ALTER DOMAIN size ADD CHECK (VALUE > 0)"],
        "blocks writes",
        "blocks writes of boxes while it scans boxes",
    ),
    "no nulls in a domain": Case(
        ["ALTER DOMAIN size SET NOT NULL"], "blocks writes", "while it scans boxes"
    ),
    "a check of a domain, not validated": Case(
        ["ALTER DOMAIN other ADD CONSTRAINT later CHECK (VALUE > 0) NOT VALID"], "safe live"
    ),
    "a check of a domain, validated": Case(
        ["ALTER DOMAIN other VALIDATE CONSTRAINT later"], "blocks writes", "while it scans boxes"
    ),
    "a default of a domain": Case(["ALTER DOMAIN size SET DEFAULT 1"], "safe live"),
    # Values that change
    "a time zone": Case(
        ["ALTER TABLE children ALTER COLUMN at TYPE timestamptz"],
        "blocks reads",
        "blocks reads and writes of children while it rewrites children",
    ),
    "the same type": Case(
        ["ALTER TABLE parents ALTER COLUMN name TYPE text USING upper(name)"],
        "loses data",
        "parents.name: the USING clause altered values (an unknown number of rows)",
    ),
    "a cast that is written": Case(
        ["ALTER TABLE children ALTER COLUMN parent TYPE bigint USING parent::bigint"],
        "blocks reads",
        "rewrites children",
    ),
    "a label that rows have": Case(
        _swapped("'calm', 'cross'", "mood::text::mood"),
        "blocks reads",
        "fails, unless a USING clause converts them: 2 rows of people have 'odd' in mood",
    ),
    "a label that no row has": Case(
        [
            "ALTER TYPE mood RENAME TO mood_2",
            "CREATE TYPE mood AS ENUM ('calm', 'odd')",
            "ALTER TABLE people ALTER COLUMN mood TYPE mood USING mood::text::mood",
        ],
        "blocks reads",
        "rewrites people",
    ),
    # Locks
    "an index": Case(
        ["CREATE INDEX ON children (note)"], "blocks writes", "builds an index on children"
    ),
    "an index, concurrently": Case(
        ["CREATE INDEX CONCURRENTLY i ON children (note)"], "safe live", more=ONLINE
    ),
    "a key": Case(
        ["ALTER TABLE children ADD CONSTRAINT k FOREIGN KEY (parent) REFERENCES parents"],
        "blocks writes",
        "scans children (k)",
    ),
    "a key, validated later": Case(
        ["ALTER TABLE boxes ADD FOREIGN KEY (free) REFERENCES parents NOT VALID"], "brief lock"
    ),
    "a check": Case(
        ["ALTER TABLE children ADD CONSTRAINT c CHECK (id > 0)"], "blocks reads", "scans children"
    ),
    "not null": Case(
        ["ALTER TABLE children ALTER COLUMN note SET NOT NULL"], "blocks reads", "scans children"
    ),
    "a new column": Case(["ALTER TABLE children ADD COLUMN newer int"], "brief lock"),
    "a trigger": Case(
        [
            "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER t AFTER INSERT ON boxes EXECUTE FUNCTION t()",
        ],
        "brief lock",
    ),
    "statistics": Case(["ALTER TABLE boxes ALTER COLUMN free SET STATISTICS 500"], "safe live"),
    "a view": Case(["CREATE VIEW v AS SELECT id FROM boxes"], "safe live"),
    "no rows": Case(["TRUNCATE boxes"], "loses data", "boxes: all rows were deleted (1 row)"),
    "a label with another name": Case(["ALTER TYPE mood RENAME VALUE 'calm' TO 'x'"], "safe live"),
}

# Each runs alone on the live tables.
CONFLICTS = [
    "an index", "an index, concurrently", "a key", "a key, validated later", "a check", "not null",
    "a new column", "a trigger", "statistics", "a view", "no rows", "a check of a domain",
    "no nulls in a domain", "a check of a domain, not validated", "a time zone", "the same type",
    "a cast that is written", "a label that no row has", "a function in a definition", "a portion",
    "a label with another name", "a function", "a procedure", "a block that hides an update",
    "a block without rows", "an update", "a delete of a join", "a merge", "in a WITH clause",
    "an insert of a query", "values",
]  # fmt: skip
