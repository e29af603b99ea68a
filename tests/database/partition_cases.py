"""Partitions and inheritance: pairs of schemas, and all the differences between them."""

from tests.database.attribute_cases import FUNCTION, PARENT, Case

COLUMNS = "a int NOT NULL, b text"
MORE = f"{PARENT}; CREATE TABLE r PARTITION OF p DEFAULT"
FREE = f"{PARENT}; CREATE TABLE n ({COLUMNS})"
DEEP = (
    f"CREATE TABLE p ({COLUMNS}, c int) PARTITION BY LIST (a);"
    "CREATE TABLE q PARTITION OF p FOR VALUES IN (1) PARTITION BY RANGE (c);"
    "CREATE TABLE r PARTITION OF q FOR VALUES FROM (0) TO (10)"
)
REFERRED = (
    "CREATE TABLE p (a int PRIMARY KEY) PARTITION BY LIST (a);"
    "CREATE TABLE q PARTITION OF p FOR VALUES IN (1);"
    "CREATE TABLE t (a int)"
)
KEY = "ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES p"
OUT = f"CREATE TABLE o (a int PRIMARY KEY); {PARENT}"
OUT_KEY = "ALTER TABLE p ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES o"
OWN = (
    "CREATE TABLE p (a int, b text, CONSTRAINT k CHECK (a > 0));"
    "CREATE TABLE c (d int, LIKE p INCLUDING ALL)"
)
DECLARED = ("column public.c.a", "column public.c.b", "constraint k on public.c")
DECLARING = "CREATE TABLE p (a int, b text); CREATE TABLE c (a int, b text, d int) INHERITS (p)"
INHERITING = f"CREATE TABLE p ({COLUMNS}); CREATE TABLE c (d int) INHERITS (p)"


def _case(
    made: str, changed: str, headline: str, *more: str, since: int = 15, written: bool = True
) -> Case:
    return Case(made, changed, headline, more, since=since, written=written)


PARTITIONS = [
    _case(
        PARENT,
        "CREATE TABLE r PARTITION OF p FOR VALUES IN (2, 3)",
        "table public.r",
    ),
    _case(PARENT, "CREATE TABLE a PARTITION OF p DEFAULT", "table public.a"),
    _case(
        PARENT,
        "CREATE TABLE a PARTITION OF p FOR VALUES IN (5) PARTITION BY HASH (b);"
        "CREATE TABLE h PARTITION OF a FOR VALUES WITH (modulus 2, remainder 1)",
        "table public.a",
        "table public.h",
    ),
    _case(PARENT, "DROP TABLE q", "table public.q"),
    # Names that no rename is seen in: another index has each.
    _case(
        f"{PARENT}; CREATE INDEX x ON q (b, a); CREATE INDEX i ON p (b)",
        "DROP INDEX i, x; CREATE INDEX x ON q (b); CREATE INDEX i ON p (b)",
        "index public.q_b_idx",
        "index public.x: definition",
    ),
    _case(PARENT, "ALTER TABLE p DETACH PARTITION q", "partition public.q of public.p"),
    _case(
        FREE,
        "ALTER TABLE p ATTACH PARTITION n FOR VALUES IN (7)",
        "partition public.n of public.p",
    ),
    _case(
        PARENT,
        "ALTER TABLE p DETACH PARTITION q; ALTER TABLE p ATTACH PARTITION q FOR VALUES IN (2)",
        "partition public.q of public.p: bound",
    ),
    _case(
        DEEP,
        "ALTER TABLE p DETACH PARTITION q",
        "partition public.q of public.p",
    ),
    _case(
        MORE,
        "ALTER TABLE p DETACH PARTITION r; ALTER TABLE r ADD e int",
        "partition public.r of public.p",
        "column public.r.e",
    ),
    _case("SELECT", DEEP, "table public.p", "table public.q", "table public.r"),
]

_ON_BOTH = ("index public.i", "index public.q_b_idx")

PARTS = [
    _case(PARENT, "CREATE INDEX i ON p (b)", *_ON_BOTH),
    _case(f"{PARENT}; CREATE INDEX i ON p (b)", "DROP INDEX i", *_ON_BOTH),
    _case(
        PARENT,
        "CREATE INDEX z ON q (b); CREATE INDEX i ON p (b)",
        "index public.i",
        "index public.z",
    ),
    _case(
        f"{PARENT}; CREATE INDEX i ON p (b)",
        "DROP INDEX i; CREATE INDEX i ON p (b DESC)",
        "index public.i: definition",
        "index public.q_b_idx: definition",
    ),
    # The parent's index stays invalid.
    _case(PARENT, "CREATE INDEX i ON ONLY p (b)", "index public.i", written=False),
    _case(PARENT, "CREATE INDEX i ON q (b)", "index public.i"),
    _case(
        f"{DEEP}; CREATE INDEX y ON r (b)",
        "CREATE INDEX i ON p (b)",
        "index public.i",
        "index public.q_b_idx",
    ),
    _case(
        PARENT,
        "ALTER TABLE p ADD CONSTRAINT k PRIMARY KEY (a)",
        "constraint k on public.p",
        "constraint q_pkey on public.q",
    ),
    _case(
        f"{PARENT}; ALTER TABLE q ADD CONSTRAINT z UNIQUE (a)",
        "ALTER TABLE p ADD CONSTRAINT k UNIQUE (a)",
        "constraint k on public.p",
    ),
    _case(
        PARENT,
        "ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0)",
        "constraint k on public.p",
        "constraint k on public.q",
    ),
    _case(
        f"{PARENT}; ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0)",
        "ALTER TABLE p DROP CONSTRAINT k; ALTER TABLE p ADD CONSTRAINT k CHECK (a > 1)",
        "constraint k on public.p: definition",
        "constraint k on public.q: definition",
    ),
    _case(PARENT, "ALTER TABLE q ADD CONSTRAINT k CHECK (a > 0)", "constraint k on public.q"),
    _case(
        f"{FREE}; ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0); CREATE INDEX i ON p (b)",
        "ALTER TABLE n ADD CONSTRAINT k CHECK (a > 0);"
        "ALTER TABLE p ATTACH PARTITION n FOR VALUES IN (7)",
        "partition public.n of public.p",
        "constraint k on public.n",
        "index public.n_b_idx",
    ),
    _case(
        PARENT,
        "ALTER TABLE p ADD e varchar(7) DEFAULT 'x' NOT NULL",
        "column public.p.e",
        "column public.q.e",
    ),
    _case(
        PARENT,
        "ALTER TABLE p ADD e int DEFAULT 5; ALTER TABLE q ALTER e SET DEFAULT 6,"
        " ALTER e SET STATISTICS 7; COMMENT ON COLUMN q.e IS 'x'",
        "column public.p.e",
        "column public.q.e",
    ),
    _case(
        DEEP, "ALTER TABLE p DROP b", "column public.p.b", "column public.q.b", "column public.r.b"
    ),
    _case(
        PARENT,
        "ALTER TABLE p ALTER b TYPE varchar(9)",
        "column public.p.b: type",
        "column public.q.b: type",
    ),
    _case(
        PARENT,
        "ALTER TABLE p ALTER b SET NOT NULL",
        "column public.p.b: null",
        "column public.q.b: null",
    ),
    _case(PARENT, "ALTER TABLE q ALTER b SET NOT NULL", "column public.q.b: null"),
    _case(PARENT, "ALTER TABLE ONLY p ALTER b SET DEFAULT 'x'", "column public.p.b: default"),
    _case(PARENT, "ALTER TABLE q ALTER b SET DEFAULT 'x'", "column public.q.b: default"),
    _case(
        f"{PARENT}; {FUNCTION}",
        "CREATE TRIGGER g AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger g on public.p",
    ),
    _case(
        f"{PARENT}; {FUNCTION}",
        "CREATE TRIGGER g AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger g on public.q",
    ),
    _case(REFERRED, KEY, "constraint k on public.t"),
    _case(
        f"{REFERRED}; {KEY}", "ALTER TABLE p DETACH PARTITION q", "partition public.q of public.p"
    ),
    _case(OUT, OUT_KEY, "constraint k on public.p"),
    _case(f"{OUT}; {OUT_KEY}", "ALTER TABLE p DROP CONSTRAINT k", "constraint k on public.p"),
    _case(
        f"{OUT}; {OUT_KEY}",
        "ALTER TABLE p DETACH PARTITION q; ALTER TABLE q DROP CONSTRAINT k",
        "partition public.q of public.p",
    ),
    _case(
        f"{OUT}; {OUT_KEY}",
        "ALTER TABLE p DETACH PARTITION q",
        "partition public.q of public.p",
        "constraint k on public.q",
    ),
    _case(
        "CREATE TABLE p (a int GENERATED ALWAYS AS IDENTITY, b int) PARTITION BY LIST (b)",
        "CREATE TABLE q PARTITION OF p FOR VALUES IN (1)",
        "table public.q",
    ),
]

INHERITANCE = [
    _case("SELECT", INHERITING, "table public.c", "table public.p"),
    _case(INHERITING, "DROP TABLE c", "table public.c"),
    _case(
        "CREATE TABLE p (a int); CREATE TABLE o (b int)",
        "CREATE TABLE c (d int) INHERITS (o, p)",
        "table public.c",
    ),
    _case(INHERITING, "ALTER TABLE p ADD e int", "column public.c.e", "column public.p.e"),
    _case(INHERITING, "ALTER TABLE p DROP b", "column public.c.b", "column public.p.b"),
    _case(INHERITING, "ALTER TABLE c ADD e int", "column public.c.e"),
    _case(
        INHERITING,
        "ALTER TABLE p ALTER b TYPE varchar(9)",
        "column public.c.b: type",
        "column public.p.b: type",
    ),
    _case(
        INHERITING,
        "ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0)",
        "constraint k on public.c",
        "constraint k on public.p",
    ),
    _case(
        INHERITING,
        "ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0) NO INHERIT",
        "constraint k on public.p",
    ),
    _case(INHERITING, "ALTER TABLE c ALTER b SET DEFAULT 'x'", "column public.c.b: default"),
    _case(INHERITING, "CREATE INDEX i ON p (b)", "index public.i"),
    # Only tables that are created so do not declare what they inherit.
    _case(
        DECLARING,
        "DROP TABLE c; CREATE TABLE c (d int) INHERITS (p)",
        "column public.c.a: declared",
        "column public.c.b: declared",
        written=False,
    ),
    _case(
        "CREATE TABLE p (a int, b text); CREATE TABLE c (a int, b text, d int)",
        "DROP TABLE c; CREATE TABLE c (d int) INHERITS (p)",
        "inheritance public.c of public.p",
        written=False,
    ),
    _case(
        f"{OWN}; CREATE INDEX i ON c (b)",
        "ALTER TABLE c INHERIT p",
        "inheritance public.c of public.p",
        *(f"{each}: declared" for each in DECLARED),
    ),
    _case(
        f"{OWN}; ALTER TABLE c INHERIT p",
        "ALTER TABLE c NO INHERIT p",
        "inheritance public.c of public.p",
        *(f"{each}: declared" for each in DECLARED),
    ),
]

NOT_NULL = [
    _case(
        f"CREATE TABLE p ({COLUMNS}); CREATE TABLE c ({COLUMNS}, d int)",
        "ALTER TABLE c INHERIT p",
        "inheritance public.c of public.p",
        *(f"{each}: declared" for each in DECLARED[:2]),
        "column public.c.a: null_declared",
        since=18,
    ),
    _case(
        "SELECT",
        "CREATE TABLE p (a int NOT NULL, b int NOT NULL, e int);"
        "CREATE TABLE c (NOT NULL a, CONSTRAINT z NOT NULL b, NOT NULL e, d int) INHERITS (p);"
        "COMMENT ON CONSTRAINT z ON c IS 'x'",
        "table public.c",
        "table public.p",
        since=18,
    ),
    _case(
        INHERITING,
        "ALTER TABLE p ADD e int NOT NULL; ALTER TABLE c ALTER e SET NOT NULL",
        "column public.c.e",
        "column public.p.e",
        since=18,
    ),
    _case(
        f"{INHERITING}; ALTER TABLE c ALTER a SET NOT NULL",
        "ALTER TABLE p ALTER a DROP NOT NULL",
        "column public.c.a: null_declared",
        "column public.p.a: null",
        since=18,
    ),
]
"""NOT NULL that a child declares, too."""

ONE_WAY = [
    _case(
        "CREATE TABLE p (a int, b text); CREATE TABLE c (d int) INHERITS (p)",
        "ALTER TABLE c NO INHERIT p; ALTER TABLE c INHERIT p",
        "column public.c.a: declared",
        "column public.c.b: declared",
    ),
    _case(
        f"{INHERITING}; ALTER TABLE p ADD CONSTRAINT k CHECK (a > 0);"
        " COMMENT ON CONSTRAINT k ON c IS 'x'",
        "ALTER TABLE c ADD CONSTRAINT k CHECK (a > 0)",
        "constraint k on public.c: declared",
    ),
    _case(
        INHERITING,
        "ALTER TABLE c ALTER a SET NOT NULL",
        "column public.c.a: null_declared",
        since=18,
    ),
]
"""A table begins to declare what it inherits. It cannot stop."""

CASES = [*PARTITIONS, *PARTS, *INHERITANCE, *NOT_NULL]
