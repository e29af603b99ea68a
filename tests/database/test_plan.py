"""`partman plan` reports the effects of pending migrations without applying them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import shared
from tests.catalog import catalog
from tests.database.plan_sample import IRREVERSIBLE, LEVELS, LIVE, LOSSES, PENDING, ROWS, WORK
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import Database, execute, query, temporary_database


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
    """Every pending migration by its ID, after one run of `partman plan` for all workers."""
    found = json.loads(shared.once("plan_of_every_kind", lambda: planned(live)))
    assert found["version"] == "1"
    return {each["id"]: each for each in found["migrations"]}


def planned(live: Project) -> str:
    role = f"{live.database.name}_made_by"
    for name, (forwards, backwards, more) in PENDING.items():
        number = name.split()[0]
        live.write(
            number,
            [each.format(role=role) for each in forwards],
            [each.format(role=role) for each in backwards],
            more,
        )
    before = (catalog(live.database.url), rows(live.database))
    completed = live.partman("plan", "--json")
    assert completed.code == 0, completed.output
    assert (catalog(live.database.url), rows(live.database)) == before, "it only reads"
    return completed.stdout


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
def test_gives_each_migration_a_level(plan: dict[str, dict[str, Any]], name: str) -> None:
    assert (of(plan, name)["level"], of(plan, name)["error"]) == (LEVELS[name], None)
    assert PENDING.keys() == LEVELS.keys()


@pytest.mark.parametrize("name", WORK)
def test_finds_work_that_grows_with_the_rows(plan: dict[str, dict[str, Any]], name: str) -> None:
    found = [
        f"{work['kind']} {work['table']}" + (f" ({', '.join(work['of'])})" if work["of"] else "")
        for statement in of(plan, name)["statements"]
        for work in statement["work"]
    ]
    assert found == WORK[name]


@pytest.mark.parametrize("name", LOSSES)
def test_counts_losses_on_the_live_rows(plan: dict[str, dict[str, Any]], name: str) -> None:
    losses = [[each["what"], each["how"], each["rows"]] for each in of(plan, name)["losses"]]
    assert losses == LOSSES[name]


@pytest.mark.parametrize("name", [name for name in PENDING if PENDING[name][1]])
def test_tries_the_reversal(plan: dict[str, dict[str, Any]], name: str) -> None:
    reversal = of(plan, name)["reversal"]
    assert reversal["works"] is (name not in IRREVERSIBLE), reversal


@pytest.mark.parametrize("name", IRREVERSIBLE)
def test_tells_why_a_migration_is_not_reversible(
    plan: dict[str, dict[str, Any]], name: str
) -> None:
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
    assert locks(of(plan, "10")) == [[], []], "a new table locks no live one"


def test_a_transaction_keeps_the_locks_of_its_earlier_statements(
    plan: dict[str, dict[str, Any]],
) -> None:
    [_, second] = of(plan, "13")["statements"]
    assert [lock["table"] for lock in second["locks"]] == ["parents"], "what it took itself"
    assert [lock["table"] for lock in second["held"]] == ["children", "parents"]
    assert of(plan, "13")["reasons"] == [
        "blocks reads and writes of children while it builds an index on parents (i2)"
    ]
    [_, step] = of(plan, "14")["statements"]
    assert [lock["table"] for lock in step["held"]] == ["parents"]
    assert step["step"] == 2


def test_lists_a_repeated_step_once(plan: dict[str, dict[str, Any]]) -> None:
    statements = of(plan, "36")["statements"]
    assert [each["sql"].split()[0] for each in statements] == ["ALTER", "DO"]


@pytest.mark.parametrize("name", ["15 concurrently", "16 vacuum"])
def test_observes_locks_of_nontransactional_statements(
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
        each["id"]: each["invalid_indexes"] for each in plan.values() if each["invalid_indexes"]
    } == {"25": ["half"]}


def test_lists_squawk_findings_by_rule_and_line(plan: dict[str, dict[str, Any]]) -> None:
    found = [(each["rule"], each["line"]) for each in of(plan, "13")["findings"]]
    assert ("require-concurrent-index-creation", 2) in found
    everything = {each["rule"] for migration in plan.values() for each in migration["findings"]}
    assert "require-lock-timeout" not in everything, "a run sets it"


@pytest.mark.same_on_every_version
def test_a_named_migration_may_lose_data(
    live: Project, plan: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    assert not of(plan, "33")["may_lose_data"]
    project = Project.create(tmp_path, live.database, live.zygote)
    project.write("1", LIVE)
    project.write("31", *PENDING["31 everything"])
    project.write("33", *PENDING["33 a table"])
    completed = project.partman("plan", PARTMAN_ALLOW_DATA_LOSS="33")
    assert "would warn, and let it pass" in completed.stdout
    assert "unless PARTMAN_ALLOW_DATA_LOSS=31" in completed.stdout
    assert "PARTMAN_ALLOW_DATA_LOSS=33" not in completed.stdout
