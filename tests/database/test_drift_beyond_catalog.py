"""``partman drift``: what only pg_dump sees, and what nothing compares."""

import json
from pathlib import Path

import pytest

from tests.database.test_drift import drift
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import Database, as_role, execute


@pytest.fixture
def extended(empty_database: Database, tmp_path: Path, zygote: Zygote) -> Project:
    """A project with an extension, whose comment was changed by hand."""
    project = Project.create(tmp_path, empty_database, zygote)
    project.write("1", ["CREATE EXTENSION hstore", "COMMENT ON EXTENSION hstore IS NULL"])
    assert project.forwards().code == 0
    execute(empty_database.url, "COMMENT ON EXTENSION hstore IS 'by hand'")
    return project


def test_what_pg_dump_sees_is_a_difference(extended: Project) -> None:
    """The catalog has the extension, and not its comment."""
    completed = extended.partman("drift")
    assert completed.code == 1
    assert completed.stdout.startswith("1 difference  ")
    assert (
        "\npg_dump also sees: extra COMMENT EXTENSION hstore\n"
        "    +COMMENT ON EXTENSION hstore IS 'by hand';\n"
    ) in completed.stdout
    facts = json.loads(extended.partman("drift", "--json").stdout)
    assert facts["differences"] == []
    [found] = facts["pg_dump"]
    assert (found["verdict"], found["kind"]) == ("extra", "COMMENT")
    assert found["expected"] is None


def test_what_the_catalog_has_is_told_once(database: Database, zygote: Zygote) -> None:
    execute(
        database.url,
        "COMMENT ON INDEX partners_pkey IS 'by hand'",
        "CREATE TABLE t (a int PRIMARY KEY)",
        "COMMENT ON INDEX t_pkey IS 'by hand'",
    )
    completed = drift(database, zygote)
    assert completed.stdout.startswith("2 differences  "), completed.output
    for told in (
        "different constraint partners_pkey on public.partners: index_comment",
        "extra     table public.t",
    ):
        assert f"\n{told}\n" in completed.stdout


def test_where_a_table_is_stored_is_not_compared(
    database: Database, tablespace: str, zygote: Zygote
) -> None:
    execute(database.url, f"ALTER TABLE partners SET TABLESPACE {tablespace}")
    completed = drift(database, zygote)
    assert completed.code == 0, completed.output
    told = f"tablespace {tablespace} of public.partners"
    assert f"Not compared: {told}\n" in completed.stdout
    strict = drift(database, zygote, "--strict", "--json")
    assert strict.code == 1
    assert json.loads(strict.stdout)["not_compared"] == [told]


@pytest.mark.same_on_every_version
def test_without_pg_dump_it_is_said(database: Database, zygote: Zygote) -> None:
    # pg_dump takes this only on its command line.
    secret = Database(f"{database.url}&sslpassword=secret")
    completed = drift(secret, zygote)
    assert completed.code == 0, completed.output
    assert completed.stdout.startswith("no difference in what was compared  ")
    assert "\nNot compared: what only pg_dump sees. " in completed.stdout
    completed = drift(secret, zygote, "--strict", "--json")
    assert completed.code == 1
    assert json.loads(completed.stdout)["not_compared"][0].startswith("what only pg_dump sees")


def test_what_pg_dump_does_not_print_is_a_difference(database: Database, zygote: Zygote) -> None:
    """Each of them alone is found: see test_seal.py."""
    execute(
        as_role(database.url, "postgres"),
        "CREATE INDEX by_hand ON partners (name)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_hand'::regclass",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 99', current_database());"
        " END$$",
    )
    completed = drift(database, zygote)
    assert completed.code == 1, completed.output
    assert "\nextra     index public.by_hand\n" in completed.stdout
    assert ": enforced\n" in completed.stdout
    assert "\nextra     setting work_mem\n" in completed.stdout
