"""``partman check``, as its users run it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from partman.audit import Audit, Rule
from partman.audit.tried import try_remedies
from partman.catalog.read import read_catalog
from partman.database import embedded
from partman.database.connection import connected
from partman.settings import Settings
from tests.catalog import catalog
from tests.database.audit_support import PROJECT
from tests.faults.processes import Zygote, zygote_of
from tests.support import ROOT, Completed, Database, as_role, execute, run
from tests.tenants import login_role

pytestmark = pytest.mark.same_on_every_version


def check(database: Database, *arguments: str, **variables: str) -> Completed:
    return run("partman", "check", *arguments, environment=database.environment | variables)


def test_is_0_without_gaps_and_counts_tables_and_rules(protected: Database) -> None:
    completed = check(protected)
    assert completed.code == 0, completed.output
    isolation, models = completed.stdout.splitlines()
    assert isolation == f"no gaps  6 tenant tables, {len(PROJECT.rules)} rules."
    assert re.fullmatch(r"\d{3} objects in the table classes, all as migrated\.", models)


def test_is_1_and_shows_object_reason_and_remedy(own_protected: Database) -> None:
    execute(own_protected.url, "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY")
    before = catalog(own_protected.url)
    completed = check(own_protected, "--ignore", "models", PARTMAN_ENV="production")
    assert completed.code == 1
    assert completed.stdout == (
        f"1 gap  6 tenant tables, {len(PROJECT.rules)} rules.\n"
        "\n"
        "public.alerts  [row-level-security]\n"
        "  Row level security is not forced.\n"
        "    ALTER TABLE public.alerts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
    )
    assert catalog(own_protected.url) == before, "check changes nothing"


def test_strict_does_not_accept_what_was_not_compared(protected: Database) -> None:
    # pg_dump takes this only on its command line.
    secret = Database(f"{protected.url}&sslpassword=secret")
    completed = check(secret, "--strict")
    assert completed.code == 1
    assert "\nNot compared: what only pg_dump sees. " in completed.stdout
    assert "all as migrated." in completed.stdout


def test_sql_that_a_copy_cannot_show_is_marked(own_protected: Database) -> None:
    execute(own_protected.url, f"GRANT TEMPORARY ON DATABASE {own_protected.name} TO PUBLIC")
    completed = check(own_protected, "--ignore", "models")
    assert completed.code == 1
    assert f"    REVOKE TEMPORARY ON DATABASE {own_protected.name} FROM PUBLIC" in completed.stdout
    assert "  The SQL was not tried: it changes roles or the database, not the schema.\n" in (
        completed.stdout
    )


async def test_sql_that_does_not_close_its_gap_is_marked(own_protected: Database) -> None:
    there = "SELECT 'partners' AS object, 'reason' AS reason, {} AS remedy FROM pg_class WHERE {}"
    kept = "relname = 'partners'"
    closed = "relname = 'idx_alerts_user_status'"
    remedies = {
        "fails": ("'SELECT 1 / 0;'", kept),
        "does nothing": ("'SELECT 1;'", kept),
        "closes it": ("'DROP INDEX public.idx_alerts_user_status;'", closed),
        "is not understood": ("'CLOSE THE GAP'", kept),
    }
    rules = tuple(Rule(name, "why", there.format(*each)) for name, each in remedies.items())
    audit = Audit(PROJECT.tenancy, rules)
    settings = Settings.load({"DATABASE_URL": own_protected.url})
    async with connected(settings) as connection:
        gaps = await audit.gaps(connection)
        live = await read_catalog(connection)
    problems = await try_remedies(settings, live, audit, gaps)
    assert {gap.rule: problem for gap, problem in problems.items()} == {
        "fails": "on a copy of this schema, it fails: division by zero",
        "does nothing": "on a copy of this schema, it does not close the gap",
        "is not understood": "not tried: it changes roles or the database, not the schema",
    }


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
    assert [gap["problem"] for gap in isolation["gaps"]] == [None, None]
    execute(own_protected.url, *(gap["remedy"] for gap in isolation["gaps"]))
    completed = check(own_protected, "--json")
    assert completed.code == 0
    isolation = json.loads(completed.stdout)["isolation"]
    assert isolation["gaps"] == []
    assert isolation["rules"] == [rule.name for rule in PROJECT.rules]
    assert "public.partners" in isolation["tables"]


class TestModels:
    """The table classes against the migrations, in a copy of the code."""

    EXTRA = "CREATE INDEX idx_partners_name ON partners (organization_id, name)"

    def test_an_index_without_a_migration_is_named(
        self, tmp_path: Path, protected: Database
    ) -> None:
        """A class is used that has one more index."""
        shutil.copytree(ROOT / "partman", tmp_path / "partman")
        for name in ("seeds", "piccolo_conf.py"):
            (tmp_path / name).symlink_to(ROOT / name)
        file = tmp_path / "partman" / "tables" / "partner.py"
        text = file.read_text("utf-8")
        index = '"CREATE INDEX idx_partners_org_domain'
        assert text.count(index) == 1
        file.write_text(text.replace(index, f'"{self.EXTRA}",\n        {index}'), "utf-8")
        with zygote_of(tmp_path) as level:
            environment = protected.environment | {"PYTHONPATH": str(tmp_path)}

            def check(*arguments: str) -> Completed:
                return run(
                    *("partman", "check", *arguments),
                    environment=environment,
                    cwd=tmp_path,
                    level=level,
                )

            self.is_named(check())
            self.is_in_the_json(check("--json"))
            completed = check("--ignore", "models")
            assert completed.code == 0, completed.output
            assert completed.stdout == f"no gaps  6 tenant tables, {len(PROJECT.rules)} rules.\n"
            assert json.loads(check("--ignore", "models", "--json").stdout)["models"] is None

    def is_named(self, completed: Completed) -> None:
        assert completed.code == 1, completed.output
        assert completed.stdout.startswith("1 difference  6 tenant tables, ")
        assert "\n\nmissing   index public.idx_partners_name\n" in completed.stdout
        assert "USING btree (organization_id, name)" in completed.stdout
        assert "1 difference from what the migrations build." in completed.stdout
        assert "partman new" in completed.stdout

    def is_in_the_json(self, completed: Completed) -> None:
        assert completed.code == 1
        facts = json.loads(completed.stdout)
        assert facts["isolation"]["gaps"] == []
        [difference] = facts["models"]["differences"]
        assert (difference["verdict"], difference["kind"]) == ("missing", "index")
        assert difference["name"] == "public.idx_partners_name"


def test_needs_nothing_but_the_embedded_server(installed: Path) -> None:
    """Where no role is yet that the table classes grant something to."""
    environment = {"PARTMAN_ENV": "test", "PARTMAN_DATA_DIR": str(installed)}
    try:
        migrated = run("piccolo", "migrations", "forwards", "all", environment=environment)
        assert migrated.code == 0, migrated.output
        completed = run("partman", "check", environment=environment)
        assert completed.code == 0, completed.output
        assert "all as migrated" in completed.stdout
    finally:
        run("partman", "server", "stop", environment=environment)


def test_compares_models_on_a_server_that_has_none_of_the_roles(
    protected: Database, installed: Path
) -> None:
    try:
        completed = check(protected, "--scratch", "embedded", PARTMAN_DATA_DIR=str(installed))
        assert completed.code == 0, completed.output
        assert "all as migrated" in completed.stdout
    finally:
        embedded.stop(installed)


def test_audits_also_where_no_scratch_database_can_be_made(
    own_protected: Database, zygote: Zygote
) -> None:
    """As the deployment's owner, who may not create databases."""
    execute(own_protected.url, "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY")
    with login_role() as role:
        nobody = Database(as_role(own_protected.url, role))
        execute(own_protected.url, f"GRANT USAGE ON SCHEMA public TO {role}")
        completed = zygote.run("partman", "check", environment=nobody.environment)
        execute(own_protected.url, f"REVOKE USAGE ON SCHEMA public FROM {role}")
    assert completed.code == 1
    assert "public.alerts  [row-level-security]\n" in completed.stdout
    assert "  The SQL was not tried: no scratch database can be made.\n" in completed.stdout
    assert "\nNot looked at: models: " in completed.stdout
    assert "permission denied to create database" in completed.stdout
    told = f"1 gap  6 tenant tables, {len(PROJECT.rules)} rules.\n"
    assert completed.stdout.startswith(told)


def test_does_not_call_clean_what_it_could_not_look_at(
    own_protected: Database, zygote: Zygote
) -> None:
    execute(
        own_protected.url.replace("//partman@", "//postgres@", 1),
        "REVOKE SELECT ON pg_catalog.pg_parameter_acl FROM PUBLIC",
    )
    asked = ("partman", "check", "--ignore", "models")
    completed = zygote.run(*asked, environment=own_protected.environment)
    assert completed.code == 1
    assert completed.stdout == (
        f"no gaps in what was looked at  6 tenant tables, {len(PROJECT.rules) - 1} rules.\n"
        "Not looked at: parameter-rights: permission denied for table pg_parameter_acl.\n"
    )
    told = zygote.run(*asked, "--json", environment=own_protected.environment)
    assert json.loads(told.stdout)["isolation"]["not_looked_at"].keys() == {"parameter-rights"}
    without = zygote.run(
        *asked, "--ignore", "parameter-rights", environment=own_protected.environment
    )
    assert without.code == 0, without.output


def test_leaves_rules_out_by_name_and_says_so(own_protected: Database) -> None:
    execute(
        own_protected.url,
        "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY",
        "GRANT TRUNCATE ON users TO partman_app",
    )
    left_out = ("--ignore", "row-level-security", "--ignore", "app-rights", "--ignore", "models")
    completed = check(own_protected, *left_out)
    assert completed.code == 0, completed.output
    assert (
        f"{len(PROJECT.rules) - 2} rules (app-rights, row-level-security left out)"
        in completed.stdout
    )
    isolation = json.loads(check(own_protected, *left_out, "--json").stdout)["isolation"]
    assert isolation["ignored"] == ["app-rights", "row-level-security"]
    assert "app-rights" not in isolation["rules"]


def test_refuses_to_leave_out_a_rule_that_there_is_not(protected: Database) -> None:
    completed = check(protected, "--ignore", "rls")
    assert completed.code == 2
    assert "no rule rls" in completed.stderr
    assert all(rule.name in completed.stderr for rule in PROJECT.rules)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_lists_the_rules_without_a_database(form: tuple[str, ...]) -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    completed = run("partman", "check", "--rules", *form, environment=nowhere)
    assert completed.code == 0, completed.output
    if form:
        listed = {rule["name"]: rule["why"] for rule in json.loads(completed.stdout)}
        assert listed == {rule.name: rule.why for rule in PROJECT.rules}
    else:
        assert all(f"{rule.name}\n  {rule.why}\n" in completed.stdout for rule in PROJECT.rules)


def test_refuses_a_database_that_was_not_migrated(empty_database: Database) -> None:
    completed = check(empty_database)
    assert completed.code == 1
    assert completed.stdout == ""
    assert "piccolo migrations forwards all" in completed.stderr
    assert "Traceback" not in completed.stderr
