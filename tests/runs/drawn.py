"""Projects drawn at random: migrations out of a grammar, and what happens to their run."""

from dataclasses import dataclass, field
from enum import Enum

from hypothesis import strategies as st

SCHEMA = (
    "CREATE SCHEMA elsewhere",
    "CREATE TABLE big (id int, n int DEFAULT 0, v text)",
    "INSERT INTO big (id, v) VALUES (1, 'a'), (1, 'longer'), (2, 'c')",
    "CREATE INDEX big_v ON big (v)",
    'CREATE TABLE "größe; -- x" (id int PRIMARY KEY, n int DEFAULT 0, v text)',
    "INSERT INTO \"größe; -- x\" (id, v) VALUES (1, 'ä'), (2, 'b')",
    "CREATE TABLE empty (id int, n int DEFAULT 0, v text)",
    "CREATE TYPE mood AS ENUM ('a')",
    "CREATE TABLE moods (m mood)",
)
"""What is there before the first migration."""

OLD = ("big", '"größe; -- x"', "empty")
NEW = ("new_1", '"new ""2"""', "public.new_3")


class Mode(Enum):
    """How a migration commits."""

    AT_ONCE = ""
    ONLINE = "manager.online()"
    ALONE = "manager.wrap_in_transaction = False"


class Event(Enum):
    """What happens to a run at some answer of the server."""

    NOTHING = "nothing"
    KILL = "kill"
    CUT = "cut"
    TERMINATE = "terminate"


@dataclass(frozen=True)
class Part:
    """A string of SQL, or a function of a migration's own that sends it."""

    sql: str
    is_function: bool = False
    raises: bool = False
    """The function raises an exception instead."""
    ends_transaction: bool = False
    commits_itself: bool = False
    """It is a block with a commit in it."""
    outside: bool = False
    """PostgreSQL refuses it in a transaction."""
    temporary: bool = False
    """What it makes ends with the session."""

    @property
    def code(self) -> str:
        """The function, as Python that has ``manager`` at hand."""
        body = (
            "raise ValueError('no such partner')"
            if self.raises
            else f"await engine_finder().run_ddl({self.sql!r})"
        )
        return (
            f"from piccolo.engine import engine_finder\nasync def work():\n    {body}\n"
            "manager.add_raw(work)\n"
        )


@dataclass(frozen=True)
class Migration:
    mode: Mode
    parts: tuple[Part, ...]

    @property
    def statements(self) -> list[str]:
        return [part.sql for part in self.parts if not part.is_function]

    @property
    def code(self) -> str:
        functions = "".join(part.code for part in self.parts if part.is_function)
        return functions + self.mode.value


@dataclass(frozen=True)
class Trial:
    """A project, and what happens to its first run."""

    migrations: tuple[Migration, ...]
    is_production: bool
    command: tuple[str, ...]
    answer: int = field(default=0)
    """At which answer of the server, from 1."""


_old, _new = st.sampled_from(OLD), st.sampled_from(NEW)
_any = st.sampled_from((*OLD, *NEW))

_PLAIN = (
    "CREATE TABLE {new} (id int, n int DEFAULT 0, v text)",
    "CREATE TABLE {new} (id int, n int DEFAULT 0, v text)",
    "CREATE TABLE IF NOT EXISTS {new} (id int UNIQUE, n int DEFAULT 0, v text)",
    "CREATE TABLE {new} AS SELECT id, n, v FROM {any}",
    "DROP TABLE {any}",
    "DROP TABLE IF EXISTS {new}",
    "ALTER TABLE {any} ADD COLUMN more int",
    "ALTER TABLE {any} ADD COLUMN more text DEFAULT 'x'",
    "ALTER TABLE {any} DROP COLUMN v",
    "ALTER TABLE {any} DROP COLUMN IF EXISTS more",
    "ALTER TABLE {any} ALTER COLUMN v SET NOT NULL",
    "ALTER TABLE {any} RENAME COLUMN n TO m",
    "INSERT INTO {any} (id, v) VALUES (7, 'eight')",
    "INSERT INTO {any} (id, v) SELECT 10 + i, 'r' || i FROM generate_series(1, 3) AS i",
    "UPDATE {any} SET n = n + 1",
    "UPDATE {any} SET n = n + 1 WHERE id = 1",
    "DELETE FROM {any} WHERE id = 1",
    "DELETE FROM {any}",
    "TRUNCATE {any}",
    "CREATE INDEX ON {any} (id)",
    "CREATE INDEX IF NOT EXISTS an_index ON {any} (id)",
    "CREATE UNIQUE INDEX one_id ON {any} (id)",
    "DROP INDEX big_v",
    "CREATE TYPE tint AS ENUM ('a')",
    "ALTER TYPE tint ADD VALUE IF NOT EXISTS 'b'",
    "ALTER TYPE mood ADD VALUE 'b'",
    "INSERT INTO moods VALUES ('a'), ('b')",
    "CREATE SEQUENCE s",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $f$ SELECT 1;\n\tSELECT 2; $f$",
    "CREATE FUNCTION drops() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE {any}; END $$",
    "SELECT drops()",
    "DO $$ BEGIN EXECUTE 'DROP TABLE {any}'; END $$",
    "DO $$ BEGIN INSERT INTO {any} (id) VALUES (1); EXCEPTION WHEN others THEN NULL; END $$",
    "SET search_path = elsewhere, public",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SET lock_timeout = 0; SET statement_timeout = 0",
    "SET check_function_bodies = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET timezone = 'Asia/Kathmandu'",
    "COMMENT ON TABLE {any} IS E'a\\tb; -- c'",
    "SAVEPOINT a; INSERT INTO {any} (id) VALUES (3); ROLLBACK TO a",
    "SELECT 1 / 0",
    "SELECT * FROM no_such_table",
    "CREATE TABEL x ()",
    "SELECT 1",
)
_OUTSIDE = (
    "CREATE INDEX CONCURRENTLY ON {any} (id)",
    "CREATE UNIQUE INDEX CONCURRENTLY one_id ON {any} (id)",
    "/* one */ CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_id ON {any} (id);",
    "CREATE UNIQUE INDEX CONCURRENTLY ON {any} (id)",
    "DROP INDEX CONCURRENTLY big_v",
    "DROP INDEX CONCURRENTLY IF EXISTS one_id",
    "REINDEX TABLE CONCURRENTLY {any}",
    "VACUUM {any}",
)
_RETYPING = (
    "ALTER TABLE {any} ALTER COLUMN v TYPE varchar(100)",
    "ALTER TABLE {any} ALTER COLUMN v TYPE varchar(1) USING left(v, 1)",
    "ALTER TABLE {any} ALTER COLUMN n TYPE bigint",
)
_ENDING = ("COMMIT", "ROLLBACK", "CREATE TABLE new_1 (); COMMIT; SELECT 1", "COMMIT; BEGIN")
_COMMITTING = ("DO $$ BEGIN INSERT INTO {any} (id) VALUES (9); COMMIT; END $$",)
_TEMPORARY = (
    "CREATE TEMP TABLE new_1 (id int)",
    "CREATE TEMP TABLE migration (id int)",
    "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS id",
)
_AROUND = ("{}", "{}", "{};", "-- why\n{}", "\n\t{} ;\n", "/* a; /* b */ */ {}")


@st.composite
def _filled(draw: st.DrawFn, templates: tuple[str, ...]) -> str:
    text = draw(st.sampled_from(templates))
    for name, tables in (("{any}", _any), ("{new}", _new), ("{old}", _old)):
        text = text.replace(name, draw(tables) if name in text else "")
    return draw(st.sampled_from(_AROUND)).replace("{}", text)


@st.composite
def _part(draw: st.DrawFn) -> Part:
    """Weights: most are plain, so that most migrations get somewhere."""
    match draw(st.integers(0, 19)):
        case 0 | 1 | 2 | 3:
            return Part(draw(_filled(_OUTSIDE)), outside=True)
        case 4 | 5:
            return Part(draw(_filled(_RETYPING)))
        case 6 | 7:
            several = draw(st.lists(_filled(_PLAIN), min_size=2, max_size=3))
            return Part("\n;".join(several))
        case 8:
            return Part(draw(_filled(_PLAIN)), is_function=True)
        case 9:
            return draw(
                st.sampled_from(
                    [
                        Part("", is_function=True, raises=True),
                        *(
                            Part(text.format(new="new_1"), ends_transaction=True)
                            for text in _ENDING
                        ),
                    ]
                )
            )
        case 10:
            return Part(draw(_filled(_COMMITTING)), commits_itself=True)
        case 11:
            return Part(draw(_filled(_TEMPORARY)), temporary=True)
    return Part(draw(_filled(_PLAIN)))


@st.composite
def _migration(draw: st.DrawFn) -> Migration:
    mode = draw(st.sampled_from(Mode))
    parts = draw(st.lists(_part(), min_size=1, max_size=5))
    if mode is Mode.ONLINE:
        # A step may have no function, and what is temporary is gone when a killed run resumes.
        parts = [part for part in parts if not part.is_function and not part.temporary]
    elif mode is Mode.AT_ONCE:
        parts = [part for part in parts if not part.outside] or parts
    # Piccolo runs functions first, and of several of one name each.
    parts.sort(key=lambda part: not part.is_function)
    return Migration(mode, tuple(parts))


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Draw a project and the answer at which something happens."""
    migrations = draw(st.lists(_migration(), min_size=1, max_size=4))
    commands = [("piccolo", "migrations", "forwards", "all"), ("partman", "migrate")]
    return Trial(
        tuple(migrations),
        draw(st.booleans()),
        draw(st.sampled_from(commands[:1])),
        draw(st.integers(1, 110) | st.integers(30, 70)),
    )
