"""`partman plan` says what each pending migration would do, and does none of it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalog import catalog
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import (
    Database,
    clean_environment,
    execute,
    query,
    script,
    server_url,
    temporary_database,
)

ONLINE = "manager.online()"
UNWRAPPED = "manager.wrap_in_transaction = False"

LIVE = [
    "CREATE TABLE parents (id int PRIMARY KEY, name varchar(50), price numeric(15,2),"
    " tier text, unused text)",
    "CREATE TABLE children (id int PRIMARY KEY, parent int)",
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
}

LEVELS = {
    "10 a new table": "safe live",
    "11 a new column": "brief lock",
    "12 an index": "blocks writes",
    "13 an index while another table is locked": "blocks reads",
    "14 the same in steps": "blocks writes",
    "15 concurrently": "safe live",
    "16 vacuum": "safe live",
    "17 a key, validated later": "brief lock",
    "18 a key at once": "blocks writes",
    "19 a check at once": "blocks reads",
    "20 not null": "blocks reads",
    "21 not null that is proven": "brief lock",
    "22 a rewrite": "blocks reads",
    "23 a backfill at once": "blocks writes",
    "24 a backfill in portions": "brief lock",
    "25 an invalid index": "brief lock",
    "26 a narrowed number": "loses data",
    "27 a wider number": "blocks reads",
    "28 a column without values": "brief lock",
    "29 a column with values": "loses data",
    "30 rows": "loses data",
    "31 everything": "loses data",
    "32 a role": "safe live",
    "33 a table": "loses data",
}

WORK = {
    "10 a new table": [],
    "11 a new column": [],
    "12 an index": ["builds an index on parents (i)"],
    "15 concurrently": ["builds an index on children (j)"],
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
}

IRREVERSIBLE = {
    "28 a column without values": "missing column public.parents.unused",
    "29 a column with values": "missing column public.parents.tier",
    "33 a table": "different column public.children.id: null and 6 more",
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Iterator[Project]:
    """A project whose tables are live, with rows in them."""
    with temporary_database() as database:
        project = Project.create(tmp_path_factory.mktemp("live"), database, zygote)
        project.write("1", LIVE)
        assert project.forwards().code == 0
        execute(database.url, *ROWS)
        yield project


@pytest.fixture(scope="module")
def plan(live: Project) -> dict[str, dict[str, Any]]:
    """Every pending migration by its ID, after one run of `partman plan`."""
    role = f"made_by_{live.database.name}"
    for name, (forwards, backwards, more) in PENDING.items():
        number = name.split()[0]
        live.write(
            number,
            [one.format(role=role) for one in forwards],
            [one.format(role=role) for one in backwards],
            more,
        )
    before = (catalog(live.database.url), rows(live.database))
    completed = live.partman("plan", "--json")
    assert completed.code == 0, completed.output
    assert (catalog(live.database.url), rows(live.database)) == before, "it only reads"
    found = json.loads(completed.stdout)
    assert found["version"] == "1"
    return {one["id"]: one for one in found["migrations"]}


def rows(database: Database) -> list[tuple[Any, ...]]:
    tables = ("parents", "children", "migration", "migration_history")
    return [
        tuple(row.values())
        for table in tables
        for row in query(database.url, f"SELECT * FROM {table} ORDER BY 1")
    ]


def of(plan: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return plan[name.split()[0]]


def locks(migration: dict[str, Any]) -> list[list[tuple[str, str, str]]]:
    return [
        [(lock["mode"], lock["table"], lock["blocks"]) for lock in statement["locks"]]
        for statement in migration["statements"]
    ]


@pytest.mark.parametrize("name", LEVELS)
def test_gives_each_migration_a_verdict(plan: dict[str, dict[str, Any]], name: str) -> None:
    assert (of(plan, name)["level"], of(plan, name)["error"]) == (LEVELS[name], None)
    assert PENDING.keys() == LEVELS.keys()


@pytest.mark.parametrize("name", WORK)
def test_finds_what_grows_with_the_rows(plan: dict[str, dict[str, Any]], name: str) -> None:
    found = [
        f"{work['kind']} {work['table']}" + (f" ({', '.join(work['of'])})" if work["of"] else "")
        for statement in of(plan, name)["statements"]
        for work in statement["work"]
    ]
    assert found == WORK[name]


@pytest.mark.parametrize("name", LOSSES)
def test_says_what_the_guard_would_say_of_the_live_rows(
    plan: dict[str, dict[str, Any]], name: str
) -> None:
    losses = [[one["what"], one["how"], one["rows"]] for one in of(plan, name)["losses"]]
    assert losses == LOSSES[name]


@pytest.mark.parametrize("name", [name for name in PENDING if PENDING[name][1]])
def test_tries_the_way_back(plan: dict[str, dict[str, Any]], name: str) -> None:
    reversal = of(plan, name)["reversal"]
    assert reversal["works"] is (name not in IRREVERSIBLE), reversal


@pytest.mark.parametrize("name", IRREVERSIBLE)
def test_says_why_there_is_no_way_back(plan: dict[str, dict[str, Any]], name: str) -> None:
    reversal = of(plan, name)["reversal"]
    assert reversal["works"] is False
    assert IRREVERSIBLE[name] in reversal["why"]


def test_names_the_tables_that_each_statement_locks(plan: dict[str, dict[str, Any]]) -> None:
    every = "reads, writes, DDL"
    assert locks(of(plan, "11")) == [[("ACCESS EXCLUSIVE", "parents", every)]]
    assert locks(of(plan, "12")) == [[("SHARE", "parents", "writes, DDL")]]
    assert locks(of(plan, "18")) == [
        [
            ("SHARE ROW EXCLUSIVE", "children", "writes, DDL"),
            ("SHARE ROW EXCLUSIVE", "parents", "writes, DDL"),
        ]
    ]
    assert locks(of(plan, "10")) == [[], []], "nobody is in the way of a new table"


def test_a_transaction_keeps_the_locks_of_its_earlier_statements(
    plan: dict[str, dict[str, Any]],
) -> None:
    [_, second] = of(plan, "13")["statements"]
    assert [lock["table"] for lock in second["held"]] == ["children", "parents"]
    assert of(plan, "13")["reasons"] == [
        "nobody reads or writes children while it builds an index on parents (i2)"
    ]
    [_, step] = of(plan, "14")["statements"]
    assert [lock["table"] for lock in step["held"]] == ["parents"]
    assert step["step"] == 2


@pytest.mark.parametrize("name", ["15 concurrently", "16 vacuum"])
def test_sees_the_locks_of_what_runs_in_no_transaction(
    plan: dict[str, dict[str, Any]], name: str
) -> None:
    for statement in of(plan, name)["statements"]:
        assert statement["measured"] == "seen by another session while it ran"
        assert statement["transaction"] is None
    assert set(map(tuple, locks(of(plan, name)))) == {
        (("SHARE UPDATE EXCLUSIVE", "children", "DDL"),)
    }


def test_names_indexes_that_are_left_invalid(plan: dict[str, dict[str, Any]]) -> None:
    assert {
        one["id"]: one["invalid_indexes"] for one in plan.values() if one["invalid_indexes"]
    } == {"25": ["half"]}


def test_tells_what_squawk_finds_by_rule_and_line(plan: dict[str, dict[str, Any]]) -> None:
    found = [(one["rule"], one["line"]) for one in of(plan, "13")["findings"]]
    assert ("require-concurrent-index-creation", 2) in found
    everything = {one["rule"] for migration in plan.values() for one in migration["findings"]}
    assert "require-lock-timeout" not in everything, "a run sets it"


def test_lets_pass_what_is_named(live: Project, plan: dict[str, dict[str, Any]]) -> None:
    assert not of(plan, "33")["may_lose_data"]
    completed = live.partman("plan", PARTMAN_ALLOW_DATA_LOSS="33")
    assert "would warn, and let it pass" in completed.stdout
    assert "unless PARTMAN_ALLOW_DATA_LOSS=31" in completed.stdout
    assert "PARTMAN_ALLOW_DATA_LOSS=33" not in completed.stdout


# Each with a project of its own


@pytest.fixture
def small(project: Project) -> Project:
    project.write("1", ["CREATE TABLE t (id int PRIMARY KEY, n int)"])
    assert project.forwards().code == 0
    return project


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [("brief-lock", 1), ("blocks-writes", 1), ("blocks-reads", 0), ("loses-data", 0)],
)
def test_fails_from_the_level_on_that_ci_asks_for(small: Project, fail_on: str, code: int) -> None:
    assert small.partman("plan", "--fail-on", "brief-lock").code == 0, "nothing is pending"
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    completed = small.partman("plan", "--fail-on", fail_on)
    assert completed.code == code, completed.output
    assert completed.stdout.startswith("blocks writes  2")


def test_the_sql_is_what_the_migrations_would_run(small: Project) -> None:
    small.write("2", ["ALTER TABLE t ADD COLUMN more int;", "CREATE INDEX i ON t (more)"])
    small.write("3", ["CREATE INDEX CONCURRENTLY j ON t (n)"], more=ONLINE)
    printed = small.partman("plan", "--sql").stdout
    with temporary_database() as other:
        execute(other.url, "CREATE TABLE t (id int PRIMARY KEY, n int)")
        execute(other.url, *[one for one in printed.split(";\n") if one.strip()])
        assert small.forwards().code == 0
        assert catalog(other.url) == catalog(small.database.url)


def test_stops_at_a_migration_that_cannot_be_run(small: Project) -> None:
    small.write("2", ["ALTER TABLE nowhere ADD COLUMN n int"])
    small.write("3", ["CREATE TABLE later (id int)"])
    completed = small.partman("plan", "--fail-on", "loses-data")
    assert completed.code == 7, completed.output
    assert 'relation "nowhere" does not exist' in completed.stdout
    assert "Not tried, after the one that fails: 3" in completed.stdout


def test_replays_what_is_applied_and_nothing_else(small: Project) -> None:
    """A late migration is tried on what is live, and its way back would take others along."""
    small.write("3", ["ALTER TABLE t ADD COLUMN late int"])
    assert small.forwards().code == 0
    small.write("2", ["CREATE INDEX i ON t (late)"], ["DROP INDEX i"])
    completed = small.partman("plan")
    assert "not tried: a newer one is applied" in completed.stdout
    assert "Note: " in completed.stdout, "it comes too late"
    assert completed.stdout.startswith("blocks writes  2"), completed.output


def test_leaves_nothing_on_the_server(small: Project, server: str) -> None:
    """On a server of its own: roles belong to all databases of one."""

    def everything() -> list[set[tuple[Any, ...]]]:
        looks = (
            "SELECT rolname, rolcanlogin, oid FROM pg_roles",
            "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members",
            "SELECT datname, datacl::text FROM pg_database",
        )
        return [{tuple(row.values()) for row in query(server, sql)} for sql in looks]

    execute(server, "CREATE ROLE was_there", "CREATE ROLE was_there_too")
    small.write(
        "2",
        [
            "CREATE TABLE made (id int)",
            "CREATE ROLE made_on_trial",
            "DO $$ BEGIN CREATE USER made_in_a_block; END $$",
            "GRANT SELECT ON made TO made_on_trial",
            "GRANT was_there TO was_there_too",
            "GRANT was_there TO made_on_trial",
        ],
    )
    before = everything()
    completed = small.partman("plan", DATABASE_URL=server)
    assert completed.code == 0, completed.output
    assert "2 migrations tried" in completed.stdout
    assert everything() == before


def test_does_not_touch_a_role_that_was_there_before(small: Project) -> None:
    role = f"there_{small.database.name}"
    execute(server_url(), f"CREATE ROLE {role}")
    try:
        small.write("2", [f"ALTER ROLE {role} CONNECTION LIMIT 3"])
        completed = small.partman("plan")
        assert completed.code == 7
        assert "--scratch embedded" in completed.stdout
        limit = query(server_url(), "SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", role)
        assert limit[0][0] == -1
    finally:
        execute(server_url(), f"DROP ROLE {role}")


def test_needs_no_right_on_the_server_with_scratch_embedded(
    small: Project, server: str, installed: Path
) -> None:
    role = f"plain_{small.database.name}"
    url = re.sub(r"//[^@]*@", f"//{role}@", small.database.url)
    execute(
        small.database.url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT {role} TO CURRENT_USER",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
        refused = small.partman("plan", DATABASE_URL=url)
        assert refused.code == 6
        assert "--scratch embedded" in refused.stderr
        tried = small.partman(
            *("plan", "--scratch", "embedded"),
            DATABASE_URL=url,
            PARTMAN_DATA_DIR=str(installed),
        )
        assert tried.code == 0, tried.output
        assert tried.stdout.startswith("blocks writes  2")
    finally:
        execute(small.database.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_counts_what_a_policy_hides_as_unknown(small: Project) -> None:
    role = f"plain_{small.database.name}"
    execute(
        small.database.url,
        "INSERT INTO t VALUES (1, 1)",
        f"CREATE ROLE {role} LOGIN CREATEDB",
        f"GRANT {role} TO CURRENT_USER",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    )
    try:
        small.write("2", ["DROP TABLE t"])
        url = re.sub(r"//[^@]*@", f"//{role}@", small.database.url)
        completed = small.partman("plan", DATABASE_URL=url)
        assert completed.stdout.startswith("loses data"), completed.output
        assert "t: the table is gone (an unknown number of rows)" in completed.stdout
    finally:
        execute(small.database.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_pipe_gets_plain_text(small: Project) -> None:
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    completed = small.partman("plan", FORCE_COLOR="")
    assert "\x1b" not in completed.stdout
    assert "access exclusive" not in completed.stdout
    shown = r"1 +CREATE INDEX i ON t \(n\) +[\d.]+ ms\n +share on t +blocks writes, DDL"
    assert re.search(shown, completed.stdout)
    assert "times are of one without rows" in re.sub(r"\s+", " ", completed.stdout)


def test_says_that_squawk_is_not_installed(small: Project, tmp_path: Path) -> None:
    small.write("2", ["CREATE INDEX i ON t (n)"], ["DROP INDEX i"])
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; sys.argv[0] = 'partman'; sys.executable = '/nowhere/python'\n"
        "from partman.cli import main; main()\n"
    )
    completed = subprocess.run(
        [sys.executable, program, "plan"],
        env=clean_environment(**small.environment) | {"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert "squawk is not installed" in completed.stdout
    assert "squawk is not installed" not in small.partman("plan").stdout


def test_squawk_is_there() -> None:
    assert Path(script("squawk")).exists()


def test_an_ordinary_run_is_not_observed() -> None:
    from partman.migration.observer import observed

    async def run() -> str:
        return "done"

    assert observed(None, "SELECT 1", run) is run  # type: ignore[arg-type]
    assert asyncio.run(run()) == "done"
