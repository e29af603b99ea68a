"""Schemas drawn at random: tables, keys, indexes, policies, triggers, functions, grants."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

COLUMNS = {
    "name": [
        "varchar(20)",
        "varchar(40) NOT NULL DEFAULT 'nobody'",
        "text",
        'text COLLATE "C" NOT NULL',
    ],
    "amount": [
        "integer",
        "bigint DEFAULT 5",
        "numeric(10, 2) NOT NULL DEFAULT 0",
        "integer GENERATED ALWAYS AS IDENTITY",
    ],
    "number": ["serial", "bigserial"],
    "mood": ["mood", "mood NOT NULL DEFAULT 'ok'", "text DEFAULT 'ok'"],
    "at": ["timestamptz DEFAULT now()", "timestamptz NOT NULL"],
    "loud": [
        "text GENERATED ALWAYS AS (upper(name)) STORED",
        "text GENERATED ALWAYS AS (lower(name)) STORED",
    ],
    "owner_id": ["integer", "integer NOT NULL"],
}
"""The types of columns."""

NEEDS = {"loud": {"name"}}

ATTRIBUTES: dict[str | None, list[str]] = {
    None: ["ALTER id SET STATISTICS 0", "SET (fillfactor = 70)", "REPLICA IDENTITY FULL"],
    "name": [
        *("ALTER name SET STATISTICS 7", "ALTER name SET STORAGE EXTERNAL"),
        *("ALTER name SET COMPRESSION pglz", "ALTER name SET (n_distinct = 5)"),
    ],
}
"""What ALTER TABLE sets."""

PARTITIONED = "CREATE TABLE log (id integer, kind text, name varchar(20)) PARTITION BY LIST (kind)"
PARTITIONS = {
    "log_a": ["FOR VALUES IN ('a')", "FOR VALUES IN ('b')", None],
    "log_rest": ["DEFAULT", "FOR VALUES IN ('c', 'd')", None],
}
"""The bounds; None for a table that is not attached."""
OF_PARTITIONED = [
    "CREATE INDEX log_name ON log (name)",
    "CREATE INDEX log_lower ON log (lower(name)) WHERE id > 5",
    "ALTER TABLE log ADD CONSTRAINT log_key PRIMARY KEY (id, kind)",
    "ALTER TABLE log ADD CONSTRAINT log_check CHECK (id > 0)",
    "ALTER TABLE log ADD extra integer NOT NULL DEFAULT 3",
    "ALTER TABLE log ALTER name TYPE varchar(30)",
    "ALTER TABLE log ALTER name SET NOT NULL",
    "ALTER TABLE ONLY log ALTER name SET DEFAULT 'x'",
    "CREATE TRIGGER log_touch BEFORE UPDATE ON log FOR EACH ROW EXECUTE FUNCTION touch()",
]
OF_PARTITION = [
    "CREATE INDEX {0}_own ON {0} (name)",
    "ALTER TABLE {0} ADD CONSTRAINT {0}_own CHECK (id > 1)",
    "ALTER TABLE {0} ALTER name SET DEFAULT '{0}'",
    "ALTER TABLE {0} ALTER id SET STATISTICS 9",
]

KEYS = ["name", "amount", "name, amount", "owner_id, amount"]
CHECKS: dict[str | None, list[str]] = {
    "name": ["name <> ''", "name IN ('a', 'b')", "length(name) > 3", "name ~ '^[a-z.]+$'"],
    "amount": ["amount >= 0", "amount BETWEEN 1 AND 10", "is_fine(amount::integer)"],
    "mood": ["mood <> 'sad'"],
}
INDEXES: dict[str | None, list[str]] = {
    "name": ["(lower(name))", "(name DESC NULLS LAST)", "(name) WHERE name <> ''"],
    "amount": ["(id, amount)", "(amount) WHERE amount > 7", "((amount + 1))"],
    "at": ["(id) INCLUDE (at)", "USING brin (at)"],
    "mood": ["(id) WHERE mood = 'sad'"],
    "owner_id": ["(owner_id)"],
}
CONDITIONS: dict[str | None, list[str]] = {
    None: ["true", "current_setting('some.thing', true) = 'on'", "is_fine(1)"],
    "name": ["name = current_user", "(name = 'a') OR (name = 'b')"],
    "amount": ["amount > 3"],
    "mood": ["mood = 'ok'"],
}
TRIGGERS: dict[str | None, list[str]] = {
    None: [
        "BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION touch()",
        "AFTER INSERT OR DELETE ON {} EXECUTE FUNCTION touch()",
    ],
    "name": [
        "BEFORE UPDATE OF name ON {} FOR EACH ROW"
        " WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION touch()"
    ],
}
FUNCTIONS = {
    "touch": [
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SET search_path = ''"
        " AS $$\nBEGIN\n\tRETURN OLD; -- it's \\ old\nEND\n$$",
    ],
    "is_fine": [
        "CREATE FUNCTION is_fine(number integer) RETURNS boolean LANGUAGE sql IMMUTABLE"
        " AS 'SELECT number > 0'",
        "CREATE FUNCTION is_fine(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > 1",
    ],
}
MOODS = ["'sad', 'ok'", "'sad', 'so so', 'ok'", "'ok', 'sad', 'happy'"]
PUBLISHED: dict[str | None, list[str]] = {
    None: ["{}", "{} (id)", "{} WHERE (id > 5)"],
    "name": ["{} (id, name)", "{} WHERE (name <> 'it''s')"],
    "amount": ["{} (amount) WHERE (amount IS NOT NULL)"],
}
"""What of a table a publication has."""
PUBLICATIONS = ["", " WITH (publish = 'insert')", " WITH (publish_via_partition_root = true)"]
PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "ALL"]
ROLES = ["partman_app", "partman_auth", "PUBLIC"]


@dataclass(frozen=True)
class Drawn:
    """The statements that make a schema."""

    statements: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n  " + ";\n  ".join(self.statements)


@st.composite
def schemas(draw: DrawFn) -> Drawn:
    statements = [f"CREATE TYPE mood AS ENUM ({draw(st.sampled_from(MOODS))})"]
    statements += [draw(st.sampled_from(bodies)) for bodies in FUNCTIONS.values()]
    tables = {name: draw(_columns()) for name in ("people", "things") if _mostly(draw)}
    for name, columns in tables.items():
        listed = "".join(f", {column} {kind}" for column, kind in columns.items())
        statements.append(f"CREATE TABLE {name} (id integer{listed})")
    for name, columns in tables.items():
        statements += draw(_parts(name, columns))
    if draw(st.booleans()):
        statements += draw(_partitions())
    if tables.keys() == {"people", "things"} and draw(st.booleans()):
        statements += draw(_foreign_key(tables["people"], tables["things"]))
    if "people" in tables and draw(st.booleans()):
        statements += draw(_view(tables["people"]))
    if draw(st.booleans()):
        statements.append("REVOKE EXECUTE ON FUNCTION is_fine(integer) FROM PUBLIC")
    if draw(st.booleans()):
        statements += draw(_publication(tables))
    return Drawn(tuple(statements))


@st.composite
def _parts(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    statements = [
        *draw(_constraints(table, columns)),
        *draw(_indexes(table, columns)),
        *draw(_rules(table, columns)),
        *draw(_grants(table, columns)),
    ]
    possible = _possible(ATTRIBUTES, columns)
    attributes = draw(st.lists(st.sampled_from(possible), max_size=2, unique=True))
    statements += [f"ALTER TABLE {table} {what}" for what in attributes]
    return statements + draw(_sequences(table, columns))


def _mostly(draw: DrawFn) -> bool:
    return draw(st.integers(0, 3)) > 0


@st.composite
def _columns(draw: DrawFn) -> dict[str, str]:
    columns = {
        name: draw(st.sampled_from(kinds)) for name, kinds in COLUMNS.items() if _mostly(draw)
    }
    return {
        name: kind for name, kind in columns.items() if NEEDS.get(name, set()) <= columns.keys()
    }


@st.composite
def _constraints(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    begin = f"ALTER TABLE {table} ADD CONSTRAINT {table}"
    statements: list[str] = []
    if _mostly(draw):
        statements.append(f"{begin}_pkey PRIMARY KEY (id)")
    usable = [key for key in KEYS if set(key.split(", ")) <= columns.keys()]
    if draw(st.booleans()) and usable:
        nulls = draw(st.sampled_from(["", " NULLS NOT DISTINCT"]))
        end = draw(st.sampled_from(["", " DEFERRABLE INITIALLY DEFERRED"]))
        statements.append(f"{begin}_key UNIQUE{nulls} ({draw(st.sampled_from(usable))}){end}")
    checks = _possible(CHECKS, columns)
    if checks and _mostly(draw):
        valid = draw(st.sampled_from(["", "", " NOT VALID"]))
        statements.append(f"{begin}_check CHECK ({draw(st.sampled_from(checks))}){valid}")
    return statements


@st.composite
def _partitions(draw: DrawFn) -> list[str]:
    """Draw a partitioned table; its indexes and checks come before and after its partitions."""
    own = draw(st.lists(st.sampled_from(OF_PARTITIONED), unique=True))
    split = draw(st.integers(0, len(own)))
    statements = [PARTITIONED, *own[:split]]
    for name, bounds in PARTITIONS.items():
        if not draw(st.booleans()):
            continue
        bound = draw(st.sampled_from(bounds))
        statements.append(
            f"CREATE TABLE {name} PARTITION OF log {bound}"
            if bound
            else f"CREATE TABLE {name} (id integer, kind text, name varchar(20))"
        )
        parts = draw(st.lists(st.sampled_from(OF_PARTITION), unique=True))
        statements += [part.format(name) for part in parts]
    return statements + own[split:]


@st.composite
def _indexes(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    usable = _possible(INDEXES, columns)
    if not usable:
        return []
    statements: list[str] = []
    for number, what in enumerate(draw(st.lists(st.sampled_from(usable), max_size=3))):
        unique = "UNIQUE " if "USING" not in what and draw(st.booleans()) else ""
        name = f"{table}_index_{number}"
        statements.append(f"CREATE {unique}INDEX {name} ON {table} {what}")
        if draw(st.integers(0, 4)) == 0:
            statements.append(f"COMMENT ON INDEX {name} IS 'it''s fast'")
    return statements


@st.composite
def _rules(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    statements: list[str] = []
    security = draw(st.sampled_from(["", "ENABLE", "FORCE", "ENABLE, FORCE"]))
    if security:
        words = ", ".join(f"{word} ROW LEVEL SECURITY" for word in security.split(", "))
        statements.append(f"ALTER TABLE {table} {words}")
    conditions = st.sampled_from(_possible(CONDITIONS, columns))
    for name in draw(st.lists(st.sampled_from(["one", "other"]), unique=True)):
        kind = draw(st.sampled_from(["", " AS RESTRICTIVE"]))
        to = ", ".join(draw(st.lists(st.sampled_from(ROLES[:2]), min_size=1, unique=True)))
        command = draw(st.sampled_from(["", " FOR SELECT", " FOR INSERT"]))
        clause = "WITH CHECK" if command == " FOR INSERT" else "USING"
        text = (
            f"CREATE POLICY {name} ON {table}{kind}{command} TO {to} {clause} ({draw(conditions)})"
        )
        if command == "" and draw(st.booleans()):
            text += f" WITH CHECK ({draw(conditions)})"
        statements.append(text)
    for name in draw(st.lists(st.sampled_from(["first", "second"]), unique=True)):
        what = draw(st.sampled_from(_possible(TRIGGERS, columns))).format(table)
        statements.append(f"CREATE TRIGGER {name} {what}")
        if draw(st.booleans()):
            how = draw(st.sampled_from(["DISABLE", "ENABLE REPLICA", "ENABLE ALWAYS"]))
            statements.append(f"ALTER TABLE {table} {how} TRIGGER {name}")
    return statements


@st.composite
def _grants(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    statements: list[str] = []
    for role in draw(st.lists(st.sampled_from(ROLES), unique=True)):
        option = "" if role == "PUBLIC" else draw(st.sampled_from(["", "", " WITH GRANT OPTION"]))
        names = draw(
            st.lists(
                st.sampled_from(["SELECT", "INSERT", "UPDATE", "ALL"]), min_size=1, unique=True
            )
        )
        some = draw(st.lists(st.sampled_from(["id", *columns]), unique=True))
        wanted = ["ALL"] if "ALL" in names else names
        statements.append(f"GRANT {', '.join(wanted)} ON {table} TO {role}{option}")
        if some:
            statements.append(f"GRANT SELECT ({', '.join(some)}) ON {table} TO {role}")
        if draw(st.booleans()):
            statements.append(f"REVOKE SELECT ON {table} FROM {role}")
            if draw(st.booleans()) and some:
                statements.append(f"GRANT UPDATE ({some[0]}) ON {table} TO {role}")
    return statements


@st.composite
def _foreign_key(draw: DrawFn, people: dict[str, str], things: dict[str, str]) -> list[str]:
    if "owner_id" not in things:
        return []
    action = draw(st.sampled_from(["", " ON DELETE CASCADE", " ON DELETE SET NULL (owner_id)"]))
    return [
        "ALTER TABLE people ADD CONSTRAINT people_referred UNIQUE (id)",
        "ALTER TABLE things ADD CONSTRAINT things_owner_fkey"
        f" FOREIGN KEY (owner_id) REFERENCES people (id){action}",
    ]


@st.composite
def _sequences(draw: DrawFn, table: str, columns: dict[str, str]) -> list[str]:
    """Draw new names for the sequences of serial and identity columns."""
    having = [
        column
        for column, kind in columns.items()
        if column == "number" or kind.endswith("IDENTITY")
    ]
    return [
        f"ALTER SEQUENCE {table}_{column}_seq"
        f" RENAME TO {table}_{draw(st.sampled_from('xy'))}_{place}"
        for place, column in enumerate(having)
        if draw(st.booleans())
    ]


@st.composite
def _publication(draw: DrawFn, tables: dict[str, dict[str, str]]) -> list[str]:
    listed = [
        draw(st.sampled_from(_possible(PUBLISHED, columns))).format(name)
        for name, columns in tables.items()
        if draw(st.booleans())
    ]
    published = f" FOR TABLE {', TABLE '.join(listed)}" if listed else ""
    return [f"CREATE PUBLICATION news{published}{draw(st.sampled_from(PUBLICATIONS))}"]


@st.composite
def _view(draw: DrawFn, people: dict[str, str]) -> list[str]:
    columns = ", ".join(["id", *draw(st.lists(st.sampled_from(["id", *people]), unique=True))[1:]])
    names = ", ".join(dict.fromkeys(columns.split(", ")))
    how = draw(st.sampled_from(["", " WITH (security_invoker = true)"]))
    statements = [f"CREATE VIEW everybody{how} AS SELECT {names} FROM people WHERE id > 0"]
    if draw(st.booleans()):
        statements.append("GRANT SELECT ON everybody TO partman_app")
    return statements


def _possible(choices: Mapping[str | None, list[str]], columns: dict[str, str]) -> list[str]:
    """Return conditions on the existing columns."""
    return [
        each
        for needed, listed in choices.items()
        if needed is None or needed in columns
        for each in listed
    ]
