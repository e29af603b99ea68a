"""``partman check``, as its users run it."""

import json

import pytest

from partman.audit import RULES
from tests.catalog import catalog
from tests.support import Completed, Database, execute, run


def check(database: Database, *arguments: str, **variables: str) -> Completed:
    return run("partman", "check", *arguments, environment=database.environment | variables)


def test_is_0_without_gaps_and_counts_what_was_looked_at(protected: Database) -> None:
    completed = check(protected)
    assert completed.code == 0, completed.output
    assert completed.stdout == f"6 tenant tables, {len(RULES)} rules, no gaps.\n"


def test_is_1_and_shows_object_reason_and_remedy(own_protected: Database) -> None:
    execute(own_protected.url, "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY")
    before = catalog(own_protected.url)
    completed = check(own_protected, PARTMAN_ENV="production")
    assert completed.code == 1
    assert completed.stdout == (
        "public.alerts  [row-level-security]\n"
        "  Row level security is not forced.\n"
        "    ALTER TABLE public.alerts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
        "\n"
        f"6 tenant tables, {len(RULES)} rules, 1 gap.\n"
    )
    assert catalog(own_protected.url) == before, "check changes nothing"


def test_prints_json_from_which_a_script_can_close_the_gaps(own_protected: Database) -> None:
    execute(
        own_protected.url,
        "DROP POLICY tenant_only ON partners",
        "GRANT UPDATE ON users TO partman_app",
    )
    completed = check(own_protected, "--json")
    assert completed.code == 1
    isolation = json.loads(completed.stdout)["isolation"]
    assert [(gap["rule"], gap["object"]) for gap in isolation["gaps"]] == [
        ("tenant-policy", "public.partners"),
        ("app-update", "public.users"),
    ]
    assert all(gap["reason"] for gap in isolation["gaps"])
    execute(own_protected.url, *(gap["remedy"] for gap in isolation["gaps"]))
    completed = check(own_protected, "--json")
    assert completed.code == 0
    isolation = json.loads(completed.stdout)["isolation"]
    assert isolation["gaps"] == []
    assert isolation["rules"] == [rule.name for rule in RULES]
    assert "public.partners" in isolation["tables"]


def test_leaves_rules_out_by_name_and_says_so(own_protected: Database) -> None:
    execute(
        own_protected.url,
        "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY",
        "GRANT TRUNCATE ON users TO partman_app",
    )
    left_out = ("--ignore", "row-level-security", "--ignore", "app-rights")
    completed = check(own_protected, *left_out)
    assert completed.code == 0, completed.output
    assert f"{len(RULES) - 2} rules (app-rights, row-level-security left out)" in completed.stdout
    isolation = json.loads(check(own_protected, *left_out, "--json").stdout)["isolation"]
    assert isolation["ignored"] == ["app-rights", "row-level-security"]
    assert "app-rights" not in isolation["rules"]


def test_refuses_to_leave_out_a_rule_that_there_is_not(protected: Database) -> None:
    completed = check(protected, "--ignore", "rls")
    assert completed.code == 2
    assert "no rule rls" in completed.stderr
    assert all(rule.name in completed.stderr for rule in RULES)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_lists_the_rules_without_a_database(form: tuple[str, ...]) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    completed = run("partman", "check", "--rules", *form, environment=nowhere)
    assert completed.code == 0, completed.output
    if form:
        listed = {rule["name"]: rule["why"] for rule in json.loads(completed.stdout)}
        assert listed == {rule.name: rule.why for rule in RULES}
    else:
        assert all(f"{rule.name}\n  {rule.why}\n" in completed.stdout for rule in RULES)


def test_refuses_a_database_that_was_not_migrated(empty_database: Database) -> None:
    completed = check(empty_database)
    assert completed.code == 1
    assert completed.stdout == ""
    assert "piccolo migrations forwards all" in completed.stderr
    assert "Traceback" not in completed.stderr
