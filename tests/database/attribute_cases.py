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
    since: int = 15
    """The version of PostgreSQL that knows it."""
    written: bool = True
    """Whether there are statements for it, in both directions."""

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
    Case(TABLE, "ALTER TABLE t ADD NOT NULL b NOT VALID", "column public.t.b: null", since=18),
    Case(
        TABLE,
        "ALTER TABLE t ALTER a DROP NOT NULL, ADD NOT NULL a NOT VALID",
        "column public.t.a: null",
        since=18,
    ),
]

TABLES = [
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

CASES = [*COLUMNS, *TABLES, *VIEWS, *CODE]
