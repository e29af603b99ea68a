"""Migrations of every kind, with what a plan must report for each."""

ONLINE = "manager.online()"
UNWRAPPED = "manager.wrap_in_transaction = False"

LIVE = [
    "CREATE TABLE parents (id int PRIMARY KEY, name varchar(50), price numeric(15,2),"
    " tier text, unused text)",
    "CREATE TABLE children (id int PRIMARY KEY, parent int)",
    "CREATE SEQUENCE tries",
    "CREATE VIEW seen AS SELECT 1 AS n",
    "CREATE TABLE parts (id int) PARTITION BY RANGE (id)",
    "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (10)",
]
ROWS = [
    "INSERT INTO parents SELECT i, 'n', i + 0.25, 'x' FROM generate_series(1, 7) AS i",
    "INSERT INTO children SELECT i, 1 FROM generate_series(1, 3) AS i",
]

PENDING: dict[str, tuple[list[str], list[str], str]] = {
    "10 a new table": (
        ["CREATE TABLE fresh (id int PRIMARY KEY)", "CREATE INDEX fresh_id ON fresh (id)"],
        ["DROP TABLE fresh"],
        "",
    ),
    "11 a new column": (
        ["ALTER TABLE parents ADD COLUMN added int"],
        ["ALTER TABLE parents DROP COLUMN added"],
        "",
    ),
    "111 a view in another form": (
        ["CREATE OR REPLACE VIEW seen AS SELECT 1 AS n, 2 AS more"],
        ["DROP VIEW seen", "CREATE VIEW seen AS SELECT 1 AS n"],
        "",
    ),
    "112 a sequence with another step": (
        ["ALTER SEQUENCE tries INCREMENT 2"],
        ["ALTER SEQUENCE tries INCREMENT 1"],
        "",
    ),
    "12 an index": (["CREATE INDEX i ON parents (name)"], ["DROP INDEX i"], ""),
    "13 an index while another table is locked": (
        ["ALTER TABLE children ADD COLUMN more int", "CREATE INDEX i2 ON parents (tier)"],
        ["DROP INDEX i2", "ALTER TABLE children DROP COLUMN more"],
        "",
    ),
    "14 the same in steps": (
        ["ALTER TABLE children ADD COLUMN most int", "CREATE INDEX i3 ON parents (tier)"],
        ["DROP INDEX i3", "ALTER TABLE children DROP COLUMN most"],
        ONLINE,
    ),
    "15 concurrently": (
        ["CREATE INDEX CONCURRENTLY j ON children (parent)", "DROP INDEX CONCURRENTLY j"],
        [],
        ONLINE,
    ),
    "16 vacuum": (["VACUUM children"], [], UNWRAPPED),
    "161 a full vacuum": (["VACUUM FULL children"], [], UNWRAPPED),
    "17 a key, validated later": (
        [
            "ALTER TABLE children ADD CONSTRAINT k FOREIGN KEY (parent) REFERENCES parents"
            " NOT VALID",
            "ALTER TABLE children VALIDATE CONSTRAINT k",
        ],
        ["ALTER TABLE children DROP CONSTRAINT k"],
        ONLINE,
    ),
    "18 a key at once": (
        ["ALTER TABLE children ADD CONSTRAINT k2 FOREIGN KEY (parent) REFERENCES parents"],
        ["ALTER TABLE children DROP CONSTRAINT k2"],
        "",
    ),
    "19 a check at once": (
        ["ALTER TABLE parents ADD CONSTRAINT c CHECK (price > 0)"],
        ["ALTER TABLE parents DROP CONSTRAINT c"],
        "",
    ),
    "20 not null": (
        ["ALTER TABLE parents ALTER COLUMN tier SET NOT NULL"],
        ["ALTER TABLE parents ALTER COLUMN tier DROP NOT NULL"],
        "",
    ),
    "21 not null that is proven": (
        [
            "ALTER TABLE parents ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID",
            "ALTER TABLE parents VALIDATE CONSTRAINT n",
            "ALTER TABLE parents ALTER COLUMN name SET NOT NULL",
        ],
        ["ALTER TABLE parents ALTER COLUMN name DROP NOT NULL, DROP CONSTRAINT n"],
        ONLINE,
    ),
    "22 a rewrite": (
        ["ALTER TABLE children ALTER COLUMN parent TYPE bigint"],
        ["ALTER TABLE children ALTER COLUMN parent TYPE int"],
        "",
    ),
    "23 a backfill at once": (["UPDATE parents SET tier = 'y'"], [], ""),
    "24 a backfill in portions": (["UPDATE parents SET tier = 'y' WHERE id < 3"], [], ONLINE),
    "242 a condition, at once": (["UPDATE parents SET tier = 'z' WHERE id < 3"], [], ""),
    "243 all rows, in a step": (["UPDATE parents SET tier = 'y'"], [], ONLINE),
    "25 an invalid index": (
        ["CREATE INDEX half ON ONLY parts (id)"],
        ["DROP INDEX half"],
        "",
    ),
    "26 a narrowed number": (
        ["ALTER TABLE parents ALTER COLUMN price TYPE numeric(15,0)"],
        ["ALTER TABLE parents ALTER COLUMN price TYPE numeric(15,2)"],
        "",
    ),
    "27 a wider number": (
        ["ALTER TABLE parents ALTER COLUMN id TYPE bigint"],
        ["ALTER TABLE parents ALTER COLUMN id TYPE int"],
        "",
    ),
    "28 a column without values": (["ALTER TABLE parents DROP COLUMN unused"], [], ""),
    "29 a column with values": (["ALTER TABLE parents DROP COLUMN tier"], [], ""),
    "30 rows": (["DELETE FROM children"], [], ""),
    "31 everything": (["TRUNCATE parents CASCADE"], [], ""),
    "32 a role": (
        ["CREATE ROLE {role}", "GRANT SELECT ON parents TO {role}"],
        ["REVOKE SELECT ON parents FROM {role}"],
        "",
    ),
    "33 a table": (["DROP TABLE children"], ["CREATE TABLE children (id int)"], ""),
    "305 rows, in a function": (
        ["DO $$ BEGIN EXECUTE 'TRUN' || 'CATE children'; END $$"],
        [],
        "",
    ),
    "36 a step that is tried again": (
        [],
        [],
        """
        manager.online()
        manager.add_sql(
            forwards=[
                "ALTER TABLE parents ADD COLUMN again int",
                "DO $$ BEGIN IF nextval('tries') = 1 THEN RAISE lock_not_available; END IF; END $$",
            ],
            backwards=None,
        )
        """,
    ),
    "34 a shortened text": (
        ["ALTER TABLE parents ALTER COLUMN name TYPE varchar(2) USING left(name, 2)"],
        ["ALTER TABLE parents ALTER COLUMN name TYPE varchar(50)"],
        "",
    ),
}

LEVELS = {
    "305 rows, in a function": "loses data",
    "36 a step that is tried again": "brief lock",
    "10 a new table": "safe live",
    "11 a new column": "brief lock",
    "111 a view in another form": "brief lock",
    "112 a sequence with another step": "brief lock",
    "12 an index": "blocks writes",
    "13 an index while another table is locked": "blocks reads",
    "14 the same in steps": "blocks writes",
    "15 concurrently": "safe live",
    "16 vacuum": "safe live",
    "161 a full vacuum": "blocks reads",
    "17 a key, validated later": "brief lock",
    "18 a key at once": "blocks writes",
    "19 a check at once": "blocks reads",
    "20 not null": "blocks reads",
    "21 not null that is proven": "brief lock",
    "22 a rewrite": "blocks reads",
    "23 a backfill at once": "blocks writes",
    "24 a backfill in portions": "brief lock",
    "242 a condition, at once": "depends on rows",
    "243 all rows, in a step": "blocks writes",
    "25 an invalid index": "brief lock",
    "26 a narrowed number": "loses data",
    "27 a wider number": "blocks reads",
    "28 a column without values": "brief lock",
    "29 a column with values": "loses data",
    "30 rows": "loses data",
    "31 everything": "loses data",
    "32 a role": "safe live",
    "33 a table": "loses data",
    "34 a shortened text": "loses data",
}

WORK = {
    "10 a new table": [],
    "11 a new column": [],
    "12 an index": ["builds an index on parents (i)"],
    "15 concurrently": ["builds an index on children (j)"],
    "161 a full vacuum": ["rewrites children"],
    "17 a key, validated later": ["scans children (k)"],
    "18 a key at once": ["scans children (k2)"],
    "19 a check at once": ["scans parents (c)"],
    "21 not null that is proven": ["scans parents (n)"],
    "22 a rewrite": ["rewrites children"],
    "23 a backfill at once": ["changes rows of parents"],
    "28 a column without values": [],
    "31 everything": [],
}

LOSSES = {
    "305 rows, in a function": [["children", "all rows were deleted", 3]],
    "22 a rewrite": [],
    "26 a narrowed number": [
        ["parents.price", "the change from numeric(15,2) to numeric(15,0) altered values", 7]
    ],
    "27 a wider number": [],
    "28 a column without values": [],
    "29 a column with values": [["parents.tier", "the column is gone", 7]],
    "30 rows": [["children", "all rows were deleted", 3]],
    "31 everything": [
        ["parents", "all rows were deleted", 7],
        ["children", "all rows were deleted", 3],
    ],
    "33 a table": [["children", "the table is gone", 3]],
    "34 a shortened text": [
        [
            "parents.name",
            "the change from character varying(50) to character varying(2) altered values",
            None,
        ]
    ],
}

IRREVERSIBLE = {
    "28 a column without values": "missing column public.parents.unused",
    "29 a column with values": "missing column public.parents.tier",
    "33 a table": "different column public.children.id: null and 6 more",
}
