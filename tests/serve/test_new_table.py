"""The table that docs/tenancy.md adds is in the console, metrics, seeds and verify."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest

from tests.database.test_new import MIGRATIONS, Checkout
from tests.docs.following import copy_checkout
from tests.docs.markdown import Document
from tests.faults.processes import zygote_of
from tests.serve.page import Page
from tests.serve.processes import Service, serving
from tests.serve.test_console_faults import ask, sign_in
from tests.serve.visitors import ROWS
from tests.support import ROOT, Database, execute, query, run, temporary_database

MODULE = "# partman/tables/tag.py\n"
"""What the block begins with that declares the table."""
TAG_ROW = '''
class TagRow(NamedTuple):
    """A row of ``tags``."""

    id: UUID
    organization_id: UUID
    label: str
    partner_id: UUID
'''
MAKE_TAGS = """
def _tags(tenant, partners):
    return tuple(
        TagRow(tenant.row_id("tags", number), tenant.organization_id, "gold", partner.id)
        for number, partner in enumerate(partners)
    )
"""
ADDRESS = "ada@tags.example"
GENERATOR = (
    ("rows.py", "Row = ", f"{TAG_ROW}\n\nRow = TagRow | "),
    ("rows.py", '    "alerts": AlertRow,\n', '    "alerts": AlertRow,\n    "tags": TagRow,\n'),
    (
        "rows.py",
        "    alerts: tuple[AlertRow, ...] = ()\n",
        "    alerts: tuple[AlertRow, ...] = ()\n    tags: tuple[TagRow, ...] = ()\n",
    ),
    (
        "generate.py",
        "goals, alerts=alerts)",
        "goals, alerts=alerts, tags=_tags(tenant, partners))",
    ),
    ("generate.py", "def _tenant(", f"{MAKE_TAGS}\n\ndef _tenant("),
    ("generate.py", "from seeds.rows import ", "from seeds.rows import TagRow, "),
)
"""What the document says of seeds/rows.py and seeds/generate.py."""
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, template: Database) -> Iterator[Checkout]:
    """A copy of the project that has the table, migrated and seeded."""
    folder = tmp_path_factory.mktemp("tags")
    copy_checkout(folder)
    with temporary_database(template.name) as database, zygote_of(folder) as level:
        files = frozenset(path.name for path in (folder / MIGRATIONS).glob("*.py"))
        made = Checkout(folder, database, files, level)
        [declared] = [
            block.text
            for block in Document(ROOT / "docs/tenancy.md").blocks
            if block.text.startswith(MODULE)
        ]
        made.add("Tag", declared)
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
    level = checkout.level
    completed = run(*created, environment=environment, stdin=PASSWORD, cwd=folder, level=level)
    assert completed.code == 0, completed.output
    log = tmp_path_factory.mktemp("log")
    with serving(log, environment, cwd=folder, level=level) as running:
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
    message = "; no generator: tags (left empty)"
    assert message in seed(checkout, "dev", "--opportunities", "12")
    assert rows(checkout) == 0
    assert message in seed(checkout, "dev")
    assert message in seed(checkout, "status")
    assert json.loads(seed(checkout, "status", "--json"))["no_generator"] == ["tags"]
    assert message in seed(checkout, "dev", "--reset", "--opportunities", "12")
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


def verified(checkout: Checkout) -> str:
    """Its own migration begins without the table; so there is one after that."""
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
    return completed.stdout


def test_verify_names_it_as_one_without_rows(checkout: Checkout) -> None:
    assert "not known to keep them: tags." in verified(checkout)


def test_a_generator_gives_it_rows(checkout: Checkout) -> None:
    seeds = checkout.folder / "seeds"
    before = {name: (seeds / name).read_text() for name in ("rows.py", "generate.py")}
    try:
        for name, old, new in GENERATOR:
            text = (seeds / name).read_text()
            assert old in text
            (seeds / name).write_text(text.replace(old, new, 1))
        assert "24 tags" in seed(checkout, "dev", "--opportunities", "12")
        assert rows(checkout) == 24
        assert "not known to keep them" not in verified(checkout)
        assert "24 tags" in seed(checkout, "clear", "--yes")
    finally:
        for name, text in before.items():
            (seeds / name).write_text(text)


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

        def see(path: str = "", status: int = 200) -> Page:
            return Page(ask(browser, "GET", f"{ROWS}tags/{path}", "", cookies, status))

        def send(path: str, status: int = 303, **typed: str) -> str:
            sent = urlencode(see(path).fields() | typed)
            return ask(browser, "POST", f"{ROWS}tags/{path}", sent, cookies, status)

        assert "There are no tags yet" in see().text
        new = see("new/").main
        assert [each.text for each in new.all("label")] == [
            "Color",
            "Label (required)",
            "Partner (required)",
        ]
        colors = new.each("select", name="color").all("option")
        assert [each.text for each in colors] == ["", "Red", "Blue"]
        assert [each.text for each in new.each("select", name="partner_id").all("option")] == [
            "",
            "P",
        ]
        send("new/", label="New", partner_id=partner)
        refused = Page(send("new/", 422, label="no", partner_id=partner[:-1] + "0"))
        assert "does not exist any more" in refused.error_of("partner_id")
        [(tag,)] = query(checkout.database.url, "SELECT id FROM tags")
        [row] = see().main.each("tbody").all("tr")
        # It is named by its first text that is none of a few.
        assert row.each("th").text == "New"
        assert [each.text for each in row.all("td")] == ["", "Red", "P"]
        send(f"row/{tag}", color="blue")
        send(f"row/{tag}")
        assert see(f"row/{tag}").fields()["color"] == "blue"
        gone = see(f"delete/?row={tag}").fields()
        ask(browser, "POST", f"{ROWS}tags/delete/", urlencode(gone), cookies, 303)
        assert "There are no tags yet" in see().text
    execute(checkout.database.url, f"DELETE FROM partners WHERE id = '{partner}'")
