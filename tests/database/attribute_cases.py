"""What objects can carry: statements that make something, and that change it.

Each case is a pair of schemas that differ in one attribute, and the difference that shows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Two states of a schema."""

    made: str
    changed: str
    headline: str
    """What differs: kind, name and attribute."""
    more: tuple[str, ...] = ()
    """What else differs, where it cannot be one difference."""
    since: int = 15
    """The version of PostgreSQL that knows it."""
    written: bool = True
    """Whether there are statements for it, in both directions."""
    superuser: bool = False
    """Whether it takes one."""
    alone: bool = True
    """Whether all of it has statements, also what does not differ."""

    def __str__(self) -> str:
        return self.changed


TABLE = "CREATE TABLE t (a int NOT NULL, b text)"
PARENT = (
    "CREATE TABLE p (a int NOT NULL, b text) PARTITION BY LIST (a);"
    "CREATE TABLE q PARTITION OF p FOR VALUES IN (1)"
)
FUNCTION = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE FUNCTION g(i int) RETURNS int LANGUAGE sql AS 'SELECT 1'"
)
TRIGGER = f"{TABLE}; {FUNCTION}; CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()"
ROW = "AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f()"
CLONE = f"{PARENT}; {FUNCTION}; CREATE TRIGGER g {ROW}"
RULE = f"{TABLE}; CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING"
VIEW = f"{TABLE}; CREATE VIEW v AS SELECT a, b FROM t"
MATERIALIZED = f"{TABLE}; CREATE MATERIALIZED VIEW m AS SELECT a, b FROM t"
STATISTICS = f"{TABLE}; CREATE STATISTICS s ON a, b FROM t"
CHECKED = f"{TABLE}; ALTER TABLE t ADD CONSTRAINT n CHECK (a > 0)"
INDEXED = f"{TABLE}; CREATE UNIQUE INDEX i ON t (a)"
COMPOSITE = "CREATE TYPE c AS (a int, b text)"
TYPED = f"{COMPOSITE}; CREATE TABLE o (a int, b text)"

COLUMNS = [
    Case(TABLE, "ALTER TABLE t ALTER b SET STATISTICS 500", "column public.t.b: statistics"),
    Case(TABLE, "ALTER TABLE t ALTER b SET STATISTICS 0", "column public.t.b: statistics"),
    Case(TABLE, "ALTER TABLE t ALTER b SET STORAGE EXTERNAL", "column public.t.b: storage"),
    Case(TABLE, "ALTER TABLE t ALTER b SET STORAGE PLAIN", "column public.t.b: storage"),
    Case(TABLE, "ALTER TABLE t ALTER b SET COMPRESSION pglz", "column public.t.b: compression"),
    Case(TABLE, "ALTER TABLE t ALTER b SET (n_distinct = -0.5)", "column public.t.b: options"),
    Case(
        f"{TABLE}; ALTER TABLE t ALTER b SET (n_distinct = 5, n_distinct_inherited = 7)",
        "ALTER TABLE t ALTER b RESET (n_distinct), ALTER b SET (n_distinct_inherited = 8)",
        "column public.t.b: options",
    ),
    Case(
        f"{PARENT}; ALTER TABLE ONLY p ALTER b SET STORAGE MAIN",
        "ALTER TABLE ONLY q ALTER b SET STATISTICS 7",
        "column public.q.b: statistics",
    ),
    # A change of type forgets it.
    Case(
        f"{TABLE}; ALTER TABLE t ALTER b SET STORAGE MAIN, ALTER b SET COMPRESSION pglz",
        "ALTER TABLE t ALTER b TYPE varchar(9), ALTER b SET STORAGE MAIN,"
        " ALTER b SET COMPRESSION pglz",
        "column public.t.b: type",
    ),
    Case(
        TABLE,
        "ALTER TABLE t RENAME CONSTRAINT t_a_not_null TO x",
        "column public.t.a: null_name",
        since=18,
    ),
    Case(
        TABLE,
        "ALTER TABLE t ALTER CONSTRAINT t_a_not_null NO INHERIT",
        "column public.t.a: null_is_inherited",
        since=18,
    ),
    Case(
        TABLE,
        "COMMENT ON CONSTRAINT t_a_not_null ON t IS 'it''s'",
        "column public.t.a: null_comment",
        since=18,
    ),
    Case(
        f"{TABLE}; COMMENT ON CONSTRAINT t_a_not_null ON t IS 'x'",
        "ALTER TABLE t ALTER a DROP NOT NULL, ADD NOT NULL a NOT VALID",
        "column public.t.a: null",
        ("column public.t.a: null_comment",),
        since=18,
    ),
    Case(TABLE, "ALTER TABLE t ADD NOT NULL b NOT VALID", "column public.t.b: null", since=18),
    Case(
        TABLE,
        "ALTER TABLE t ALTER a DROP NOT NULL, ADD NOT NULL a NOT VALID",
        "column public.t.a: null",
        since=18,
    ),
]

TABLES = [
    Case(
        f"{CHECKED}; COMMENT ON CONSTRAINT n ON t IS 'x'",
        "ALTER TABLE t DROP CONSTRAINT n; ALTER TABLE t ADD CONSTRAINT n CHECK (a > 0) NOT VALID;"
        " COMMENT ON CONSTRAINT n ON t IS 'x'",
        "constraint n on public.t: valid",
    ),
    Case(
        "CREATE TABLE t (a int PRIMARY KEY, b int, EXCLUDE (b WITH =))",
        "COMMENT ON INDEX t_pkey IS 'it''s \\ quick'",
        "constraint t_pkey on public.t: index_comment",
    ),
    Case(TABLE, "ALTER TABLE t SET (toast.autovacuum_enabled = false)", "table public.t: options"),
    Case(
        f"{TABLE}; ALTER TABLE t SET (fillfactor = 50, toast.autovacuum_vacuum_threshold = 9)",
        "ALTER TABLE t RESET (toast.autovacuum_vacuum_threshold), SET (fillfactor = 60)",
        "table public.t: options",
    ),
    Case(INDEXED, "ALTER TABLE t CLUSTER ON i", "table public.t: clustered_on"),
    Case(
        f"{INDEXED}; CREATE INDEX j ON t (b); ALTER TABLE t CLUSTER ON i",
        "ALTER TABLE t CLUSTER ON j",
        "table public.t: clustered_on",
    ),
    Case(
        INDEXED,
        "ALTER TABLE t REPLICA IDENTITY USING INDEX i",
        "table public.t: replica_identity",
    ),
    Case(TABLE, "ALTER TABLE t REPLICA IDENTITY FULL", "table public.t: replica_identity"),
    Case(TYPED, "ALTER TABLE o OF c", "table public.o: of_type"),
]

EXPRESSION = f"{TABLE}; CREATE INDEX i ON t (a, lower(b))"

INDEXES = [
    Case(EXPRESSION, "ALTER INDEX i ALTER COLUMN 2 SET STATISTICS 7", "index public.i: statistics"),
    Case(
        f"{EXPRESSION}; ALTER INDEX i ALTER COLUMN 2 SET STATISTICS 0",
        "ALTER INDEX i ALTER COLUMN 2 SET STATISTICS 9; COMMENT ON INDEX i IS 'x'",
        "index public.i: statistics",
        ("index public.i: comment",),
    ),
    Case(
        "CREATE EXTENSION hstore; CREATE TABLE t (a hstore); CREATE INDEX i ON t USING gin (a)",
        "ALTER INDEX i DEPENDS ON EXTENSION hstore",
        "index public.i: depends_on",
        superuser=True,
    ),
    Case(
        f"CREATE EXTENSION hstore; {FUNCTION}",
        "ALTER FUNCTION g(int) DEPENDS ON EXTENSION hstore",
        "function public.g(integer): depends_on",
        superuser=True,
    ),
]

VIEWS = [
    Case(VIEW, "ALTER VIEW v ALTER b SET DEFAULT 'x'", "view public.v: columns"),
    Case(VIEW, "ALTER VIEW v SET (check_option = local)", "view public.v: options"),
    Case(VIEW, "ALTER VIEW v SET (security_barrier = true)", "view public.v: options"),
    Case(
        MATERIALIZED,
        "ALTER MATERIALIZED VIEW m SET (fillfactor = 50, toast.autovacuum_enabled = off)",
        "materialized view public.m: options",
    ),
    Case(
        MATERIALIZED,
        "ALTER MATERIALIZED VIEW m ALTER b SET STATISTICS 7",
        "materialized view public.m: columns",
    ),
    Case(
        MATERIALIZED,
        "ALTER MATERIALIZED VIEW m ALTER b SET STORAGE PLAIN, ALTER b SET COMPRESSION pglz,"
        " ALTER a SET (n_distinct = 3)",
        "materialized view public.m: columns",
    ),
    Case(
        f"{MATERIALIZED}; CREATE INDEX i ON m (a)",
        "ALTER MATERIALIZED VIEW m CLUSTER ON i",
        "materialized view public.m: clustered_on",
    ),
]

CODE = [
    Case(TRIGGER, "ALTER TABLE t DISABLE TRIGGER g", "trigger g on public.t: enabled"),
    Case(
        f"{TRIGGER}; ALTER TABLE t ENABLE REPLICA TRIGGER g",
        "DROP TRIGGER g ON t; CREATE TRIGGER g AFTER DELETE ON t EXECUTE FUNCTION f();"
        " ALTER TABLE t ENABLE REPLICA TRIGGER g",
        "trigger g on public.t: definition",
    ),
    Case(CLONE, "ALTER TABLE q DISABLE TRIGGER g", "trigger state g on public.q"),
    Case(
        f"{CLONE}; ALTER TABLE q ENABLE ALWAYS TRIGGER g",
        "ALTER TABLE ONLY p DISABLE TRIGGER g",
        "trigger g on public.p: enabled",
    ),
    Case(RULE, "ALTER TABLE t DISABLE RULE r", "rule r on public.t: enabled"),
    Case(
        f"{RULE}; ALTER TABLE t ENABLE ALWAYS RULE r",
        "COMMENT ON RULE r ON t IS 'x'",
        "rule r on public.t: comment",
    ),
    Case(STATISTICS, "ALTER STATISTICS s SET STATISTICS 7", "statistics public.s: target"),
    Case(STATISTICS, "COMMENT ON STATISTICS s IS 'x'", "statistics public.s: comment"),
    Case(
        STATISTICS,
        "GRANT CREATE ON SCHEMA public TO partman_auth;"
        " ALTER STATISTICS s OWNER TO partman_auth;"
        " REVOKE CREATE ON SCHEMA public FROM partman_auth",
        "statistics public.s: owner",
    ),
    Case("CREATE SEQUENCE s", "ALTER SEQUENCE s SET UNLOGGED", "sequence public.s: unlogged"),
    Case("SELECT", "CREATE UNLOGGED SEQUENCE s", "sequence public.s"),
    *(
        Case(FUNCTION, f"ALTER FUNCTION g(int) {what}", "function public.g(integer): definition")
        for what in (
            *("STABLE", "STRICT", "SECURITY DEFINER", "COST 7", "PARALLEL SAFE"),
            *("SET work_mem = '9MB'", 'SET search_path = pg_catalog, "$user"'),
        )
    ),
]

DOMAIN = "CREATE DOMAIN d AS text"
COMMENTED = f"{COMPOSITE}; COMMENT ON COLUMN c.b IS 'x'"

TYPES = [
    Case(COMPOSITE, "ALTER TYPE c ADD ATTRIBUTE d text[]", "type public.c: attributes"),
    Case(COMPOSITE, "ALTER TYPE c DROP ATTRIBUTE b", "type public.c: attributes"),
    Case(
        f'{COMPOSITE}; ALTER TYPE c ADD ATTRIBUTE "d "" e" text',
        'ALTER TYPE c ALTER ATTRIBUTE "d "" e" TYPE text COLLATE "C"',
        "type public.c: attributes",
    ),
    Case(COMPOSITE, "COMMENT ON COLUMN c.a IS 'x'", "type public.c: comments"),
    Case(COMMENTED, "COMMENT ON COLUMN c.b IS NULL", "type public.c: comments"),
    # The order of attributes cannot be changed: the type is made again, with what uses it.
    Case(
        f"{COMMENTED}; CREATE FUNCTION g(c) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TYPE c DROP ATTRIBUTE a; ALTER TYPE c ADD ATTRIBUTE a int",
        "type public.c: attributes",
    ),
    Case(
        f"{DOMAIN} CONSTRAINT n NOT NULL",
        "ALTER DOMAIN d RENAME CONSTRAINT n TO m",
        "domain public.d: null_name",
        since=17,
    ),
    Case(
        DOMAIN,
        "ALTER DOMAIN d ADD CHECK (VALUE <> '') NOT VALID",
        "constraint d_check on public.d",
    ),
    Case(
        f"{DOMAIN} CONSTRAINT n CHECK (VALUE <> '')",
        "ALTER DOMAIN d DROP CONSTRAINT n;"
        " ALTER DOMAIN d ADD CONSTRAINT n CHECK (VALUE <> '') NOT VALID",
        "constraint n on public.d: valid",
    ),
    Case(
        f"{DOMAIN} CONSTRAINT n NOT NULL",
        "COMMENT ON CONSTRAINT n ON DOMAIN d IS 'x'",
        "domain public.d: null_comment",
        since=17,
    ),
    Case(
        DOMAIN,
        'DROP DOMAIN d; CREATE DOMAIN d AS text COLLATE "C"',
        "domain public.d: collation",
    ),
    Case(
        f"{DOMAIN} DEFAULT 'x' CHECK (VALUE <> ''); COMMENT ON DOMAIN d IS 'y';"
        " CREATE FUNCTION g(d) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP DOMAIN d CASCADE; CREATE DOMAIN d AS varchar(9) DEFAULT 'x' CHECK (VALUE <> '');"
        " COMMENT ON DOMAIN d IS 'y';"
        " CREATE FUNCTION g(d) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "domain public.d: type",
        ("constraint d_check on public.d: definition", "domain public.d: default"),
    ),
    *(
        Case("SELECT", f"CREATE TYPE r AS RANGE ({options})", "type public.r")
        for options in (
            "subtype = int",
            'subtype = text, collation = "C", subtype_opclass = text_pattern_ops',
            "subtype = float8, subtype_diff = float8mi, multirange_type_name = others",
        )
    ),
    Case(
        "CREATE TYPE a_range AS RANGE (subtype = float8)",
        "DROP TYPE a_range; CREATE TYPE a_range AS RANGE"
        " (subtype = float8, subtype_diff = float8mi)",
        "type public.a_range: difference",
    ),
]

PUBLISHED = f"{TABLE}; CREATE PUBLICATION p FOR TABLE t (a) WHERE (a > 0)"

DATABASE = [
    Case(TABLE, "CREATE PUBLICATION p FOR TABLE t", "publication p"),
    Case("SELECT", "CREATE PUBLICATION p WITH (publish = 'insert')", "publication p"),
    Case(
        "CREATE PUBLICATION p",
        "ALTER PUBLICATION p SET (publish = 'insert, delete')",
        "publication p: operations",
    ),
    Case(
        "CREATE PUBLICATION p",
        "ALTER PUBLICATION p SET (publish_via_partition_root = true)",
        "publication p: via_root",
    ),
    Case(
        "CREATE PUBLICATION p",
        "ALTER PUBLICATION p SET (publish_generated_columns = stored)",
        "publication p: generated_columns",
        since=18,
    ),
    Case("CREATE PUBLICATION p", "COMMENT ON PUBLICATION p IS 'x'", "publication p: comment"),
    Case(
        f"{TABLE}; CREATE PUBLICATION p",
        "ALTER PUBLICATION p ADD TABLE t (b) WHERE (b <> 'it''s')",
        "published table public.t on p",
    ),
    Case(
        PUBLISHED,
        "ALTER PUBLICATION p SET TABLE t (a, b) WHERE (a > 0)",
        "published table public.t on p: columns",
    ),
    Case(
        PUBLISHED,
        "ALTER PUBLICATION p SET TABLE t (a) WHERE (a > 1)",
        "published table public.t on p: predicate",
    ),
    Case(
        f"{TABLE}; CREATE PUBLICATION p FOR TABLE t WHERE (a > 0)",
        "ALTER PUBLICATION p DROP TABLE t; ALTER TABLE t ALTER a TYPE bigint;"
        " ALTER PUBLICATION p ADD TABLE t WHERE (a > 0)",
        "column public.t.a: type",
    ),
    Case(
        "CREATE SCHEMA o; CREATE PUBLICATION p",
        "ALTER PUBLICATION p ADD TABLES IN SCHEMA o",
        "published schema o on p",
        superuser=True,
    ),
    Case(
        "CREATE PUBLICATION p",
        "DROP PUBLICATION p; CREATE PUBLICATION p FOR ALL TABLES",
        "publication p: all_tables",
        superuser=True,
    ),
    *(
        Case(
            "SELECT",
            f"DO $x$ BEGIN EXECUTE format('ALTER DATABASE %I SET {assigned}',"
            " current_database()); END $x$",
            f"setting {name}",
            superuser=name == "a.b",
        )
        for name, assigned in (
            ("TimeZone", "timezone = ''Asia/Tokyo''"),
            ("search_path", 'search_path = a, "$user", "B c"'),
            ("a.b", "a.b = ''100%% of $$ it''''s''"),
        )
    ),
    Case(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''9MB''',"
        " current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''8MB''',"
        " current_database()); END $$",
        "setting work_mem: value",
    ),
    Case(
        "SELECT",
        "DO $$ BEGIN EXECUTE format('ALTER ROLE partman_app IN DATABASE %I"
        " SET work_mem = ''9MB''', current_database()); END $$",
        "setting work_mem of partman_app",
    ),
]

OPERATOR = "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)"
CAST = "CREATE TYPE c AS (a int)"
CONFIGURATION = "CREATE TEXT SEARCH CONFIGURATION s (COPY = simple)"
AGGREGATE = "CREATE AGGREGATE g(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')"
EVENT = (
    "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER z ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION e()"
)
SERVER = (
    "CREATE FOREIGN DATA WRAPPER w OPTIONS (a 'b');"
    "CREATE SERVER r VERSION '1' FOREIGN DATA WRAPPER w OPTIONS (a 'b');"
    "CREATE USER MAPPING FOR CURRENT_USER SERVER r OPTIONS (a 'b')"
)
CLASS = (
    "CREATE OPERATOR FAMILY f USING btree;"
    "CREATE OPERATOR CLASS k FOR TYPE int USING btree FAMILY f AS OPERATOR 1 <"
)

SEEN = [
    Case("SELECT", OPERATOR, "operator public.===(integer,integer)", written=False),
    Case(
        OPERATOR,
        "ALTER OPERATOR === (int, int) SET (RESTRICT = eqsel)",
        "operator public.===(integer,integer): definition",
        written=False,
    ),
    Case(
        f"{CAST}; CREATE CAST (c AS text) WITH INOUT",
        "DROP CAST (c AS text); CREATE CAST (c AS text) WITH INOUT AS ASSIGNMENT",
        "cast (public.c AS pg_catalog.text): definition",
        written=False,
    ),
    Case(
        'CREATE COLLATION n (locale = "C")',
        'DROP COLLATION n; CREATE COLLATION n (locale = "POSIX")',
        "collation public.n: definition",
        written=False,
    ),
    Case(
        "CREATE CONVERSION n FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        "DROP CONVERSION n; CREATE DEFAULT CONVERSION n FOR 'LATIN1' TO 'UTF8'"
        " FROM iso8859_1_to_utf8",
        "conversion public.n: definition",
        written=False,
    ),
    Case(
        CONFIGURATION,
        "ALTER TEXT SEARCH CONFIGURATION s ALTER MAPPING FOR word WITH english_stem",
        "text search configuration public.s: definition",
        written=False,
    ),
    Case(
        "CREATE TEXT SEARCH DICTIONARY s (TEMPLATE = simple)",
        "ALTER TEXT SEARCH DICTIONARY s (accept = false)",
        "text search dictionary public.s: definition",
        written=False,
    ),
    Case(
        AGGREGATE,
        "DROP AGGREGATE g(int); CREATE AGGREGATE g(int) (SFUNC = int4pl, STYPE = int)",
        "aggregate public.g(integer): definition",
        written=False,
    ),
    Case(
        AGGREGATE,
        "DROP AGGREGATE g(int); CREATE AGGREGATE g(int)"
        " (SFUNC = int4pl, STYPE = int, INITCOND = '0', SORTOP = <)",
        "aggregate public.g(integer): definition",
        written=False,
    ),
    Case(
        AGGREGATE,
        "DROP AGGREGATE g(int); CREATE AGGREGATE g(int)"
        " (SFUNC = int4pl, STYPE = int, INITCOND = '0', PARALLEL = SAFE)",
        "aggregate public.g(integer): definition",
        written=False,
    ),
    *(
        Case(made, changed, headline, written=False, superuser=True)
        for made, changed, headline in (
            (EVENT, "ALTER EVENT TRIGGER z DISABLE", "event trigger z: definition"),
            (
                EVENT,
                "DROP EVENT TRIGGER z;"
                "CREATE EVENT TRIGGER z ON ddl_command_end EXECUTE FUNCTION e()",
                "event trigger z: definition",
            ),
            (SERVER, "ALTER SERVER r OPTIONS (SET a 'c')", "server r: definition"),
            (SERVER, "ALTER SERVER r VERSION '2'", "server r: definition"),
            (
                SERVER,
                "ALTER FOREIGN DATA WRAPPER w OPTIONS (ADD c 'd')",
                "foreign-data wrapper w: definition",
            ),
            (
                SERVER,
                "ALTER USER MAPPING FOR CURRENT_USER SERVER r OPTIONS (SET a 'c')",
                "user mapping postgres on server r: definition",
            ),
            (
                f"{SERVER}; CREATE FOREIGN TABLE t (a int) SERVER r",
                "ALTER FOREIGN TABLE t ALTER a OPTIONS (ADD c 'd')",
                "foreign table public.t: foreign",
            ),
            (
                CLASS,
                "ALTER OPERATOR FAMILY f USING btree ADD OPERATOR 1 < (int8, int8)",
                "operator family public.f USING btree: definition",
            ),
            (
                CLASS,
                "ALTER OPERATOR CLASS k USING btree OWNER TO partman_app",
                "operator class public.k USING btree: definition",
            ),
            ("SELECT", "CREATE TYPE shell", "type public.shell"),
            (
                "SELECT",
                "CREATE ACCESS METHOD h TYPE TABLE HANDLER heap_tableam_handler",
                "access method h",
            ),
            (
                "CREATE LANGUAGE l HANDLER plpgsql_call_handler",
                "CREATE OR REPLACE LANGUAGE l HANDLER plpgsql_call_handler"
                " VALIDATOR plpgsql_validator",
                "language l: definition",
            ),
            (
                "CREATE SUBSCRIPTION u CONNECTION '' PUBLICATION p WITH (connect = false)",
                "ALTER SUBSCRIPTION u SET (binary = true)",
                "subscription u: definition",
            ),
        )
    ),
]

SEEN.append(
    Case(
        "SELECT",
        "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
        "transform for integer language sql",
        since=18,  # older ones name it otherwise
        written=False,
        superuser=True,
    )
)

RIGHTS = [
    Case(
        "SELECT",
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
        "grant PUBLIC on language plpgsql",
        superuser=True,
    ),
    Case(
        SERVER,
        "GRANT USAGE ON FOREIGN SERVER r TO partman_app",
        "grant partman_app on server r",
        superuser=True,
        alone=False,
    ),
    Case(
        SERVER,
        "GRANT USAGE ON FOREIGN DATA WRAPPER w TO partman_app",
        "grant partman_app on foreign-data wrapper w",
        superuser=True,
        alone=False,
    ),
]

CASES = [*COLUMNS, *TABLES, *INDEXES, *VIEWS, *CODE, *TYPES, *DATABASE, *SEEN, *RIGHTS]
