"""A new row of the console is what the tables say, and so is what its form asks for."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from partman.serve.console.scope import TENANT
from partman.tables import TABLES
from tests.serve.organizations import ACME, OF_A_TENANT
from tests.serve.page import Page
from tests.serve.visitors import ROWS, Console, Visitor, console_tables

NEW: dict[str, dict[str, str]] = {
    "users": {"email": "n@acme.example", "first_name": "N", "last_name": "N", "role": "admin"},
    "partners": {"name": "N", "domain": "n.example", "commission_structure/+key": "rate",
                 "commission_structure/+value": "1"},
    "opportunities": {
        "partner_id": str(ACME.rows["partners"]),
        "customer_name": "N",
        "deal_value": "1.50",
        "stage": "proposal",
        "expected_close_date": "2026-12-31",
    },
    "quarterly_goals": {
        "quarter": "2",
        "year": "2026",
        "goal_type": "revenue",
        "target_value": "1.00",
    },
    "alerts": {"alert_type": "n", "entity_type": "partner", "title": "N", "message": "N"},
}  # fmt: skip


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_new_row_has_the_defaults_of_its_table(
    console: Console, ann: Visitor, table: str
) -> None:
    """As the table class gives them, and a form that was left as it is."""
    own = [(TENANT, ann.tenant_id)]
    own += [("commission_structure/:root", "null")] if table == "partners" else []
    ids = set()
    for sent in ([*own, *NEW[table].items()], ann.filled(f"{table}/new/", **NEW[table])):
        added = ann.send_form(f"{ROWS}{table}/new/", sent)
        assert added.status_code == 303, added.text
        row_id = UUID(urlsplit(added.headers["location"]).path.rpartition("/")[2])
        ids.add(row_id)
        [row] = console.query(f"SELECT * FROM {table} WHERE id = $1", row_id)
        assert row["organization_id"] == ACME.id
        expected = defaults(table)
        assert {name: row[name] for name in expected} == expected
        for name, value in NEW[table].items():
            assert "/" in name or str(row[name]) == value
        if "created_at" in row:
            assert row["created_at"] is not None
        console.query(f"DELETE FROM {table} WHERE id = $1", row_id)
    assert len(ids) == 2


def test_an_emptied_default_is_no_value(console: Console, ann: Visitor) -> None:
    """It was shown, so it was meant; what is only made when it is saved is made."""
    added = ann.save("opportunities/new/", **NEW["opportunities"], currency="", probability="")
    assert added.status_code == 303
    [row] = console.query("SELECT * FROM opportunities WHERE customer_name = 'N'")
    assert (row["currency"], row["probability"]) == (None, None)


def defaults(table: str) -> dict[str, Any]:
    """What the product's own class gives to a row, but for the times."""
    [of_product] = [each for each in TABLES if each._meta.tablename == table]
    row = of_product(_ignore_missing=True)
    found = {}
    for column in of_product._meta.columns:
        name = str(column._meta.db_column_name)
        if (
            name not in {each.partition("/")[0] for each in NEW[table]}
            and not name.endswith("_at")
            and name not in {"id", "password_hash"}
        ):
            found[name] = getattr(row, column._meta.name)
    found.pop("organization_id")
    return found


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_form_marks_required_fields(reader: Visitor, table: str) -> None:
    page = Page(reader.get(f"{ROWS}{table}/new/").text)
    required = {
        each.attributes["name"]
        for each in page.main.all()
        if each.attributes.get("aria-required") == "true"
    }
    needed = {name.partition("/")[0] for name in NEW[table]}
    assert required == needed - {"commission_structure"}
    refused = Page(reader.save(f"{table}/new/").text)
    told = {each.attributes["id"] for each in refused.main.all("p", "error-text")}
    assert told == {f"{name}-error" for name in needed}


def test_every_table_is_shown_without_secret_columns() -> None:
    shown = {each.slug: {field.name for field in each.fields} for each in console_tables()}
    for table in TABLES:
        columns = {str(column._meta.db_column_name) for column in table._meta.columns}
        assert shown[table._meta.tablename] == columns - {"organization_id", "password_hash"}
    assert {each.slug: tuple(field.name for field in each.names) for each in console_tables()} == {
        "organizations": ("name",),
        "users": ("first_name", "last_name"),
        "partners": ("name",),
        "opportunities": ("customer_name",),
        "quarterly_goals": ("goal_type", "year", "quarter"),
        "alerts": ("title",),
    }
