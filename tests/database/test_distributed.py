"""A database whose tables Citus distributes is refused by whatever would be wrong about it.

Citus itself is not needed: what it says of its tables is in one list, of which there is a stand-in.
"""

import pytest

from tests.catalog import catalog
from tests.support import Database, as_role, execute, query, run

pytestmark = pytest.mark.same_on_every_version


def distribute(database: Database, *tables: str) -> None:
    execute(
        as_role(database.url, "postgres"),
        "SET allow_system_table_mods = on",
        "CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod char)",
        "GRANT SELECT ON pg_catalog.pg_dist_partition TO PUBLIC",
        *(f"INSERT INTO pg_catalog.pg_dist_partition VALUES ('{each}', 'h')" for each in tables),
    )


def distribute_as_partman(database: Database, *tables: str) -> None:
    """What ``partman distribute`` leaves, of which partman itself reads."""
    listed = "pg_catalog.pg_dist_partition"
    distribute(database, *tables)
    execute(
        as_role(database.url, "postgres"),
        "SET allow_system_table_mods = on",
        f"ALTER TABLE {listed} ADD repmodel char DEFAULT 's', ADD colocationid int DEFAULT 1,"
        " ADD partkey text",
        f"INSERT INTO {listed} VALUES ('organizations', 'n', 't', 2)",
        "CREATE FUNCTION pg_catalog.column_to_column_name(regclass, text) RETURNS text"
        " LANGUAGE sql RETURN 'organization_id'",
    )
    execute(database.url, "CREATE TABLE migration_distribution ()")


COMMANDS = (
    "piccolo migrations backwards partman --auto_agree",
    "partman redo",
    "partman sql --to none --backwards",
    "partman check --ignore models",
    "partman drift --json",
    "partman adopt",
    "partman seed dev",
    "partman seed clear --yes",
    "partman resolve --rolled-back 2026-11-24T13:00:00:000000",
)


def test_it_is_refused_and_nothing_is_done(database: Database) -> None:
    distribute(database, "partners", "opportunities", "organizations")
    before = query(database.url, "SELECT name FROM migration")
    for command in COMMANDS:
        program, *arguments = command.split()
        ended = run(program, *arguments, environment=database.environment)
        assert ended.code == 5, (command, ended.output)
        assert "Traceback" not in ended.output
        assert (
            "Citus distributes tables of this database: opportunities, organizations, partners."
            in ended.stderr
        ), command
        assert "Nothing was " in ended.stderr or "No script was written" in ended.stderr
        assert "undistribute_table" in ended.stderr
    assert query(database.url, "SELECT name FROM migration") == before


def test_migrations_are_refused_before_the_first(empty_database: Database) -> None:
    execute(empty_database.url, "CREATE TABLE others ()")
    distribute(empty_database, "others")
    for program, *arguments in (
        ["partman", "migrate"],
        ["piccolo", "migrations", "forwards", "all"],
    ):
        ended = run(program, *arguments, environment=empty_database.environment)
        assert ended.code == 5, ended.output
        assert "distributes tables of this database: others." in ended.stderr
    found = query(empty_database.url, "SELECT relname FROM pg_class WHERE relname = 'partners'")
    assert found == []


ON_ONE_SERVER = {
    "partman sql --to none --backwards": "partman migrate",
    "partman rehearse": "partman rehearse --on URL",
    "partman reset --yes": "partman undistribute",
    "partman distribute --plan": "partman undistribute",
}
"""What works on a single server only, and what to type instead."""


def test_what_cannot_be_done_on_several_nodes_is_refused(database: Database) -> None:
    distribute_as_partman(database, "partners", "opportunities")
    for command, instead in ON_ONE_SERVER.items():
        program, *arguments = command.split()
        ended = run(program, *arguments, environment=database.environment)
        assert ended.code == 5, (command, ended.output)
        assert "partman distribute has divided this database over several nodes" in ended.stderr
        assert instead in ended.stderr


def test_rows_of_development_are_inserted_and_removed(database: Database) -> None:
    """On all nodes, as Citus does; with the settings that it needs for that."""
    distribute_as_partman(database, "partners", "opportunities")
    for command in ("dev", "status", "clear --yes"):
        ended = run("partman", "seed", *command.split(), environment=database.environment)
        assert ended.code == 0, ended.output


def test_citus_alone_does_no_harm(database: Database) -> None:
    """Its list is there, and empty."""
    before = catalog(database.url)
    distribute(database)
    ended = run("partman", "check", "--ignore", "models", environment=database.environment)
    assert ended.code in (0, 1), ended.output
    assert "tenant tables" in ended.stdout
    assert catalog(database.url) == before


def test_a_long_list_is_shortened(database: Database) -> None:
    distribute(database, *(f"pg_catalog.{each}" for each in CATALOGS))
    ended = run("partman", "drift", environment=database.environment)
    named = ", ".join(f"pg_catalog.{each}" for each in sorted(CATALOGS)[:5])
    assert f"{named} and 2 more. " in ended.stderr


CATALOGS = ("pg_type", "pg_trigger", "pg_proc", "pg_index", "pg_enum", "pg_class", "pg_am")
