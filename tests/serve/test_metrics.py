"""What a monitoring system is told."""

import re

import pytest
from piccolo.table import Table, create_table_class

from partman.migration.ledger.preflight import KINDS
from partman.migration.ledger.step_records import TABLE as STEPS
from tests.proxy import Proxy
from tests.serve.conftest import Client, Serve
from tests.support import CONSOLE_TABLES, MIGRATIONS, SIX_TABLES, Database, execute, query

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
FAILED = """
INSERT INTO migration_history (app, migration, direction, outcome, error, started_at, duration,
    os_user, host, partman_version, piccolo_version)
VALUES ('partman', 'the last', 'backwards', 'failed', 'no',
    timestamptz '2026-11-24 10:00+00', '90 s', '', '', '', '')
"""


def metrics(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples, by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (name, frozenset(LABEL.findall(labels or ""))): float(value)
        for name, labels, value in SAMPLE.findall(answer.text)
    }


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return (name, frozenset(labels.items()))


def labels_of(client: Client, name: str) -> dict[str, str]:
    [labels] = [labels for found, labels in metrics(client) if found == name]
    return dict(labels)


def test_the_schema_and_its_migrations(database: Database, serve: Serve) -> None:
    client = serve(database.url)
    output = metrics(client)
    assert output[sample("partman_up")] == 1
    assert output[sample("partman_ready")] == 1
    newest = MIGRATIONS[-1]
    assert output[sample("partman_schema_info", version=newest, expected=newest)] == 1
    assert output[sample("partman_migrations_applied")] == len(MIGRATIONS)
    assert output[sample("partman_migrations_pending")] == 0
    for kind in KINDS:
        assert output[sample("partman_migration_problems", kind=kind)] == 0
    assert {"version", "revision", "piccolo", "python"} == labels_of(
        client, "partman_build_info"
    ).keys()


def test_migration_problems_are_counted(database: Database, serve: Serve) -> None:
    execute(database.url, f"DELETE FROM migration WHERE name = '{MIGRATIONS[-1]}'", STEPS)
    output = metrics(serve(database.url))
    assert output[sample("partman_ready")] == 0
    assert output[sample("partman_migrations_pending")] == 1
    assert output[sample("partman_migration_problems", kind="removed")] == 1
    before = sample("partman_schema_info", version=MIGRATIONS[-2], expected=MIGRATIONS[-1])
    assert output[before] == 1


def test_the_last_run(database: Database, serve: Serve) -> None:
    client = serve(database.url)
    [(migration, direction)] = query(
        database.url, "SELECT migration, direction FROM migration_history ORDER BY id DESC LIMIT 1"
    )
    of = {"migration": migration, "direction": direction}
    assert metrics(client)[sample("partman_last_run_success", **of)] == 1
    execute(database.url, FAILED)
    output = metrics(client)
    of = {"migration": "the last", "direction": "backwards"}
    assert output[sample("partman_last_run_success", **of)] == 0
    assert output[sample("partman_last_run_duration_seconds", **of)] == 90
    # 90 seconds after 2026-11-24 10:00 UTC
    assert output[sample("partman_last_run_end_timestamp_seconds", **of)] == 1795514490


def test_how_far_a_backfill_is(database: Database, serve: Serve) -> None:
    client = serve(database.url)
    of = {"app": "partman", "migration": "the last", "step": "2"}
    assert sample("partman_backfill_rows", **of) not in metrics(client)
    execute(
        database.url,
        STEPS,
        "INSERT INTO migration_step (app, migration, backwards, number, statement, progress)"
        " VALUES ('partman', 'the last', false, 2, '',"
        """ '{"rows": 1200, "total": 5000, "position": ["7"]}')""",
    )
    output = metrics(client)
    assert output[sample("partman_backfill_rows", **of)] == 1200
    assert output[sample("partman_backfill_rows_total_estimate", **of)] == 5000


def test_rows_are_estimates_of_tables_that_were_analyzed(database: Database, serve: Serve) -> None:
    client = serve(database.url)
    execute(database.url, "VACUUM ANALYZE organizations, users")
    output = metrics(client)
    assert output[sample("partman_table_rows_estimate", table="users")] == 1
    tables = {dict(labels)["table"] for name, labels in output if name.endswith("_rows_estimate")}
    assert {"organizations", "users"} <= tables <= SIX_TABLES | CONSOLE_TABLES
    analyzed = query(
        database.url,
        "SELECT relname FROM pg_class WHERE relname = ANY ($1) AND reltuples >= 0",
        sorted(SIX_TABLES | CONSOLE_TABLES),
    )
    assert tables == {row["relname"] for row in analyzed}


def test_rows_are_told_of_each_registered_table_once(
    database: Database, serve: Serve, monkeypatch: pytest.MonkeyPatch, stranger: str
) -> None:
    """Whatever its name, in whichever schema, registered by how many apps; and of nothing else."""
    made = ("CREATE TABLE {} AS SELECT 1", "ANALYZE {}")
    execute(
        database.url,
        "CREATE SCHEMA shop",
        *(
            each.format(name)
            for name in ('"Order; it"', "shop.users", "unregistered")
            for each in made
        ),
        "CREATE VIEW seen AS SELECT 1",
        "CREATE TABLE in_parts (id int) PARTITION BY LIST (id)",
        "CREATE TABLE part PARTITION OF in_parts FOR VALUES IN (1)",
        "INSERT INTO in_parts VALUES (1)",
        "ANALYZE users, in_parts",
    )
    named = [(None, "Order; it"), ("shop", "users"), (None, "users"), (None, "users")]
    named += [("public", "users"), (None, "seen"), (None, "in_parts"), ("gone", "users")]
    classes = [
        create_table_class("Named", (Table,), {"schema": schema, "tablename": table})
        for schema, table in named
    ]
    monkeypatch.setattr("partman.serve.probes.metrics.table_classes", lambda: classes)
    readable = ("USAGE ON SCHEMA", "SELECT ON ALL TABLES IN SCHEMA")
    execute(database.url, *(f"GRANT {right} public TO PUBLIC" for right in readable))
    for url in (database.url, stranger):
        lines = serve(url).get("/metrics").text.splitlines()
        assert sorted(line for line in lines if line.startswith("partman_table_rows")) == [
            'partman_table_rows_estimate{table="Order; it"} 1.0',
            'partman_table_rows_estimate{table="in_parts"} 1.0',
            'partman_table_rows_estimate{table="shop.users"} 1.0',
            'partman_table_rows_estimate{table="users"} 1.0',
        ]


def test_without_a_database_it_says_so_and_nothing_else_of_it(
    database: Database, serve: Serve
) -> None:
    with Proxy(database) as proxy:
        client = serve(proxy.url.replace("@", ":pass-word@"))
        output = metrics(client)
        assert output[sample("partman_up")] == 0
        assert output[sample("partman_ready")] == 0
        assert {name for name, _ in output} == {
            "partman_up",
            "partman_ready",
            "partman_build_info",
        }
        proxy.open()
        assert metrics(client)[sample("partman_up")] == 1
        text = client.get("/metrics").text
    assert "pass-word" not in text
    assert str(proxy.port) not in text


def test_an_empty_database_has_no_last_run(empty_database: Database, serve: Serve) -> None:
    output = metrics(serve(empty_database.url))
    assert output[sample("partman_up")] == 1
    assert output[sample("partman_schema_info", version="", expected=MIGRATIONS[-1])] == 1
    assert not any(name.startswith("partman_last_run") for name, _ in output)


def test_openmetrics_is_served_on_request(database: Database, serve: Serve) -> None:
    answer = serve(database.url).get("/metrics", accept="application/openmetrics-text")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("version", ["none", "1..0", "1.x"])
def test_a_format_that_there_is_not_is_answered_in_the_usual_one(
    database: Database, serve: Serve, version: str
) -> None:
    for accepted in ("application/openmetrics-text", "text/plain"):
        answer = serve(database.url).get("/metrics", accept=f"{accepted};version={version}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_two_scrapes_in_one_process_do_not_add_up(database: Database, serve: Serve) -> None:
    first, second = serve(database.url), serve(database.url)
    assert metrics(first) == metrics(second) == metrics(first)
