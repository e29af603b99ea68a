"""A tenant table that is declared goes through console, metrics, seeds and verify."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.database.test_new import MIGRATIONS, Checkout
from tests.docs.following import copy_checkout
from tests.serve.processes import Service, serving
from tests.serve.test_console_faults import sign_in
from tests.serve.visitors import API
from tests.support import Database, execute, query, run, temporary_database

TAG = """
from enum import StrEnum

from piccolo.columns import OnDelete, OnUpdate
from piccolo.table import Table

from partman.tables.columns import TenantReference, Varchar
from partman.tables.partner import Partner
from partman.tables.tenant import TenantTable


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Tag(TenantTable, Table, tablename="tags"):
    color = Varchar(length=20, default=Color.RED, null=False, choices=Color)
    label = Varchar(length=50, default=None, null=False)
    partner = TenantReference(
        Partner,
        on_delete=OnDelete.cascade,
        on_update=OnUpdate.no_action,
        null=False,
        db_column_name="partner_id",
    )

    extras = ("CREATE INDEX idx_tags_partner ON tags (organization_id, partner_id)",)
"""
ADDRESS = "ada@tags.example"
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, template: Database) -> Iterator[Checkout]:
    """A copy of the project that has the table, migrated and seeded."""
    folder = tmp_path_factory.mktemp("tags")
    copy_checkout(folder)
    with temporary_database(template.name) as database:
        files = frozenset(path.name for path in (folder / MIGRATIONS).glob("*.py"))
        made = Checkout(folder, database, files)
        made.add("Tag", TAG)
        for command in (("new", "tags"), ("migrate",)):
            completed = made.run("partman", *command)
            assert completed.code == 0, completed.output
        yield made


@pytest.fixture(scope="module")
def service(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of that project, and an admin of its default organization."""
    created = ("partman", "admin", "create", ADDRESS, "--organization", "default")
    folder = checkout.folder
    environment = checkout.database.environment | {"PYTHONPATH": str(folder)}
    completed = run(*created, environment=environment, stdin=PASSWORD, cwd=folder, level="packages")
    assert completed.code == 0, completed.output
    with serving(tmp_path_factory.mktemp("log"), environment, cwd=folder) as running:
        yield running


def seed(checkout: Checkout, *arguments: str) -> str:
    completed = checkout.run("partman", "seed", *arguments)
    assert completed.code == 0, completed.output
    return completed.stdout


def rows(checkout: Checkout) -> int:
    [(count,)] = query(checkout.database.url, "SELECT count(*) FROM tags")
    return int(count)


def tag_a_seeded_partner(checkout: Checkout) -> None:
    execute(
        checkout.database.url,
        "INSERT INTO tags (organization_id, label, partner_id)"
        " SELECT organization_id, 'mine', id FROM partners WHERE id::text LIKE '5eed5eed%' LIMIT 1",
    )


def test_seeds_name_it_and_leave_it_empty(checkout: Checkout) -> None:
    said = "; no generator: tags (left empty)"
    assert said in seed(checkout, "dev", "--opportunities", "12")
    assert rows(checkout) == 0
    assert said in seed(checkout, "dev")
    assert said in seed(checkout, "status")
    assert json.loads(seed(checkout, "status", "--json"))["no_generator"] == ["tags"]
    assert said in seed(checkout, "dev", "--reset", "--opportunities", "12")
    assert "12 opportunities" in seed(checkout, "clear", "--yes")


def test_its_rows_are_not_lost_with_seeded_ones(checkout: Checkout) -> None:
    seed(checkout, "dev", "--opportunities", "12")
    tag_a_seeded_partner(checkout)
    for command in (("clear", "--yes"), ("dev", "--reset")):
        refused = checkout.run("partman", "seed", *command)
        assert refused.code == 1
        assert "1 tags" in refused.stderr
    assert rows(checkout) == 1
    execute(checkout.database.url, "DELETE FROM tags")
    seed(checkout, "clear", "--yes")


def test_verify_names_it_as_one_without_rows(checkout: Checkout) -> None:
    """Its own migration begins without it; so there is one after that."""
    later = checkout.folder / MIGRATIONS / "partman_later.py"
    later.write_text(
        "from partman.migration import MigrationManager\n"
        'ID = "2999-01-01T00:00:00:000000"\nVERSION = "1.38.0"\nDESCRIPTION = "later"\n'
        "async def forwards():\n"
        '    manager = MigrationManager(migration_id=ID, app_name="partman", description="later")\n'
        '    manager.add_sql("CREATE INDEX later ON tags (label)", "DROP INDEX later")\n'
        "    return manager\n"
    )
    try:
        completed = checkout.run("partman", "verify", "--from", checkout.first_id)
    finally:
        later.unlink()
    assert completed.code == 0, completed.output
    assert "not known to keep them: tags." in completed.stdout


def test_metrics_count_its_rows(checkout: Checkout, service: Service) -> None:
    execute(checkout.database.url, "VACUUM ANALYZE tags")
    assert 'partman_table_rows_estimate{table="tags"} ' in service.request("/metrics").body


def test_the_console_lists_adds_changes_and_deletes_its_rows(
    checkout: Checkout, service: Service
) -> None:
    execute(
        checkout.database.url,
        "INSERT INTO partners (id, organization_id, name, domain, commission_structure) SELECT"
        " '00000000-0000-4000-8000-0000000000aa', id, 'P', 'd', '{}' FROM organizations"
        " WHERE subdomain = 'default'",
    )
    partner = "00000000-0000-4000-8000-0000000000aa"
    with closing(http.client.HTTPConnection(urlsplit(service.url).netloc)) as browser:
        cookies = sign_in(browser, ADDRESS)

        def ask(method: str, path: str = "", facts: Any = None) -> tuple[int, Any]:
            headers = {
                "Cookie": cookies,
                "X-CSRFToken": "token",
                "Content-Type": "application/json",
            }
            body = "" if facts is None else json.dumps(facts)
            browser.request(method, f"{API}tags/{path}", body, headers)
            answer = browser.getresponse()
            told = answer.read()
            return answer.status, json.loads(told) if told else None

        _, schema = ask("GET", "schema/")
        assert schema["required"] == ["label", "partner_id"]
        choices = schema["properties"]["color"]["extra"]["choices"]
        assert {one["value"] for one in choices.values()} == {"red", "blue"}
        assert ask("GET", "ids/")[1] == {}
        status, [added] = ask("POST", facts={"label": "New", "partner_id": partner})
        assert status == 201
        assert ask("POST", facts={"label": "no", "partner_id": added["id"]})[0] == 422
        [row] = ask("GET", "?__readable=true")[1]["rows"]
        assert (row["color"], row["label"], row["partner_id_readable"]) == ("red", "New", "P")
        path = f"{added['id']}/"
        form = ask("GET", path)[1]
        assert ask("PATCH", path, form | {"color": "blue"})[0] == 200
        assert ask("PATCH", path, ask("GET", path)[1])[0] == 200
        assert ask("GET", path)[1]["color"] == "blue"
        # It is named by its first text that is none of a few.
        assert ask("GET", "ids/")[1] == {added["id"]: "New"}
        assert ask("DELETE", path)[0] == 204
        assert ask("GET")[1]["rows"] == []
    execute(checkout.database.url, f"DELETE FROM partners WHERE id = '{partner}'")
