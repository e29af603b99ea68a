"""Objects that depend on each other, with names that say nothing about their order.

Each case is a template: ``{0}``, ``{1}`` and so on are names. They are made in the order in which
they are written, and no other order works.
"""

from itertools import permutations

CASES = {
    "a default calls a function": [
        "CREATE FUNCTION {0}() RETURNS int LANGUAGE sql IMMUTABLE RETURN 1",
        "CREATE TABLE {1} (id int DEFAULT {0}(), n int)",
        "CREATE VIEW {2} AS SELECT n FROM {1}",
    ],
    "a function takes a row, and a default calls it": [
        "CREATE TABLE {0} (id int, n int)",
        "CREATE FUNCTION {1}({0}) RETURNS int LANGUAGE sql IMMUTABLE RETURN 1",
        "ALTER TABLE {0} ALTER n SET DEFAULT {1}(NULL)",
    ],
    "a function has a body that is parsed": [
        "CREATE TABLE {0} (id int)",
        "CREATE FUNCTION {1}() RETURNS bigint LANGUAGE sql"
        " BEGIN ATOMIC SELECT count(*) FROM {0}; END",
        "CREATE VIEW {2} AS SELECT {1}() AS n",
    ],
    "a function has a body that is a string": [
        "CREATE TABLE {0} (id int)",
        "CREATE FUNCTION {1}() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {0}'",
        "CREATE FUNCTION {2}() RETURNS bigint LANGUAGE sql AS 'SELECT public.{1}() + 1'",
    ],
    "views of views": [
        "CREATE VIEW {0} AS SELECT 1 AS n",
        "CREATE MATERIALIZED VIEW {1} AS SELECT n FROM {0}",
        "CREATE VIEW {2} AS SELECT n FROM {1}",
    ],
    "the row type of a view": [
        "CREATE VIEW {0} AS SELECT 1 AS n",
        "CREATE FUNCTION {1}({0}) RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TABLE {2} (id {0}, ids {0}[])",
    ],
    "types of types": [
        "CREATE TYPE {0} AS ENUM ('a', 'b')",
        "CREATE DOMAIN {1} AS {0} DEFAULT 'a'",
        "CREATE TYPE {2} AS (one {1}, more {0}[])",
    ],
    "a domain whose check calls a function": [
        "CREATE FUNCTION {0}(int) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN $1 > 0",
        "CREATE DOMAIN {1} AS int CHECK ({0}(VALUE))",
        "CREATE TABLE {2} (n {1})",
    ],
    "a domain whose default calls a function": [
        "CREATE FUNCTION {0}() RETURNS int LANGUAGE sql IMMUTABLE RETURN 1",
        "CREATE DOMAIN {1} AS int DEFAULT {0}()",
        "CREATE TABLE {2} (n {1})",
    ],
    "a composite type of a domain, in a function": [
        "CREATE DOMAIN {0} AS int",
        "CREATE TYPE {1} AS (n {0})",
        "CREATE FUNCTION {2}({1}) RETURNS int LANGUAGE sql RETURN 1",
    ],
    "an index and a check call functions": [
        "CREATE FUNCTION {0}(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1",
        "CREATE FUNCTION {1}(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN {0}($1)",
        "CREATE TABLE {2} (n int CHECK ({1}(n) > 0), m int GENERATED ALWAYS AS ({1}(n)) STORED);"
        " CREATE INDEX ON {2} ({0}(n)) WHERE {1}(n) > 1",
    ],
    "a view groups by a primary key": [
        "CREATE TABLE {0} (id int PRIMARY KEY, n text)",
        "CREATE VIEW {1} AS SELECT id, n, count(*) FROM {0} GROUP BY id",
        "CREATE FUNCTION {2}() RETURNS SETOF {1} LANGUAGE plpgsql AS 'BEGIN END'",
    ],
    "a foreign key refers to a unique index": [
        "CREATE TABLE {0} (n int); CREATE UNIQUE INDEX z_{0} ON {0} (n)",
        "CREATE TABLE {1} (n int CONSTRAINT a_{1} REFERENCES {0} (n))",
    ],
    "tables refer to each other": [
        "CREATE TABLE {0} (id int PRIMARY KEY, other int)",
        "CREATE TABLE {1} (id int PRIMARY KEY REFERENCES {0})",
        "ALTER TABLE {0} ADD FOREIGN KEY (other) REFERENCES {1}",
    ],
    "a policy looks into another table": [
        "CREATE TABLE {0} (id int)",
        "CREATE TABLE {1} (id int); ALTER TABLE {1} ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY {2} ON {1} USING (id IN (SELECT id FROM {0}))",
    ],
    "a trigger on a view": [
        "CREATE VIEW {0} AS SELECT 1 AS n",
        "CREATE FUNCTION {1}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER {2} INSTEAD OF INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION {1}()",
    ],
    "a rule writes into another table": [
        "CREATE TABLE {0} (n int)",
        "CREATE TABLE {1} (n int)",
        "CREATE RULE {2} AS ON INSERT TO {0} DO INSTEAD INSERT INTO {1} VALUES (new.n)",
    ],
    "a sequence of another table": [
        "CREATE SEQUENCE {0}",
        "CREATE TABLE {1} (id bigint DEFAULT nextval('{0}'))",
        "CREATE TABLE {2} (id int); ALTER SEQUENCE {0} OWNED BY {2}.id",
    ],
    "a serial that another table uses": [
        "CREATE TABLE {0} (id serial)",
        "CREATE TABLE {1} (id int DEFAULT nextval('{0}_id_seq'))",
    ],
    "a policy of a query alone": [
        "CREATE TABLE {0} (id int)",
        "CREATE POLICY {1} ON {0} USING ((SELECT true))",
    ],
}
NAMES = ("aa", "mm", "zz")


def made(names: tuple[str, ...]) -> list[str]:
    """Return the statements of all cases with these names, each with names of its own."""
    return [
        statement.format(*(f"{name}_{number}" for name in names))
        for number, case in enumerate(CASES.values())
        for statement in case
    ]


ORDERS = list(permutations(NAMES))
"""Every order by name is wrong in one of them."""
