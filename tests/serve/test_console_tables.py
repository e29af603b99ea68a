"""A form changes what somebody has changed in it, and a new row is what the tables say."""

import json
from typing import Any
from uuid import UUID

import pytest

from partman.tables import TABLES
from tests.faults.processes import wait_until
from tests.serve.organizations import ACME, OF_A_TENANT
from tests.serve.visitors import API, Console, Visitor, shown_tables
from tests.support import execute
from tests.tenants import held

PARTNER = f"partners/{ACME.rows['partners']}/"


def row_of(ann: Visitor, table: str) -> dict[str, Any]:
    """All the fields, as a script has them."""
    [row] = ann.rows(table)
    row.pop("id")
    return row


def form_of(ann: Visitor, table: str) -> dict[str, Any]:
    """All the fields of a form, as Piccolo Admin's page sends them."""
    row = row_of(ann, table)
    for name, value in row.items():
        if name.endswith("_at") and value:
            row[name] = value[:19] + "Z"  # a field for a time has no fractions of a second
        elif isinstance(value, str) and value[:1] in {"{", "["}:
            row[name] = json.dumps(json.loads(value), indent=2, sort_keys=True)
    return row


def refuse_changes(console: Console, table: str, *but: str) -> None:
    """Have the database refuse to be told a value, be it the old one."""
    columns = [
        row["name"]
        for row in console.query(
            "SELECT attname AS name FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
    ]
    execute(
        console.database.url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'refused'; END $$",
        *(
            f"CREATE TRIGGER refuse_{name} BEFORE UPDATE OF {name} ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
            for name in columns
            if name not in but
        ),
    )


CHANGES: dict[str, dict[str, Any]] = {
    "organizations": {"settings": '{"of": "somebody else"}'},
    "users": {"last_name": "changed"},
    "partners": {"website": "https://changed.example"},
    "opportunities": {"deal_value": "1234.51"},
    "quarterly_goals": {"target_value": 1001},
    "alerts": {"entity_id": str(UUID(int=1))},
}


@pytest.mark.parametrize("table", CHANGES)
def test_a_form_saves_only_changed_fields(console: Console, ann: Visitor, table: str) -> None:
    """It sends every field, the empty ones and those that may not be changed too."""
    path, change = f"{table}/{ACME.rows[table]}/", CHANGES[table]
    form = form_of(ann, table)
    refuse_changes(console, table, *change)
    changed = ann.send("PATCH", path, form | change)
    assert changed.status_code == 200, changed.text
    [row] = ann.rows(table)
    assert {name: str(row[name]).removesuffix(".00") for name in change} == {
        name: str(value) for name, value in change.items()
    }


def test_a_form_in_which_nothing_was_changed_changes_nothing(
    console: Console, ann: Visitor
) -> None:
    for table in CHANGES:
        before = console.query(f"SELECT * FROM {table} ORDER BY id")
        path = f"{table}/{ACME.rows[table]}/"
        for form in (form_of(ann, table), {}):
            assert ann.send("PATCH", path, form).status_code == 200
        assert ann.send("PATCH", path, row_of(ann, table)).status_code == 200
        after = console.query(f"SELECT * FROM {table} ORDER BY id")
        assert [*map(without_updated_at, after)] == [*map(without_updated_at, before)]


@pytest.mark.parametrize("table", [table for table in CHANGES if table != "alerts"])
def test_a_form_does_not_overwrite_concurrent_changes(
    console: Console, ann: Visitor, table: str
) -> None:
    """Its other fields are as they were: they would overwrite what is there now."""
    path = f"{table}/{ACME.rows[table]}/"
    read, opened = row_of(ann, table), form_of(ann, table)
    execute(console.database.url, f"ALTER TABLE {table} DISABLE TRIGGER set_updated_at")
    for later, form in (("1 microsecond", read), ("1 second", opened)):
        console.query(
            f"UPDATE {table} SET updated_at = updated_at + $2::text::interval WHERE id = $1",
            ACME.rows[table],
            later,
        )
        before = console.query(f"SELECT * FROM {table} ORDER BY id")
        refused = ann.send("PATCH", path, form)
        assert refused.status_code == 412
        assert "Another person has changed it since this form was opened" in refused.text
        assert console.query(f"SELECT * FROM {table} ORDER BY id") == before
    assert ann.send("PATCH", path, form_of(ann, table)).status_code == 200


def test_of_two_forms_at_once_the_second_one_is_refused(console: Console, ann: Visitor) -> None:
    form = row_of(ann, "partners")
    with held(console.database.url, "UPDATE partners SET name = 'new', updated_at = now()"):
        saved = console.portal.start_task_soon(ann.aask, "PATCH", API + PARTNER, form, {})
        wait_until(console.waits_for_a_lock, "the other one is at it")
    assert saved.result().status_code == 412
    assert ann.rows("partners")[0]["name"] == "new"


def without_updated_at(row: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(row).items() if name != "updated_at"}


OTHER_JSON = [
    ("1", "true"),
    ("0", "false"),
    ("1", "1.0"),
    ("0.1", "0.1000000000000000000001"),
    ('"1"', "1"),
    ("[1, 2]", "[2, 1]"),
    ('{"a": null}', "{}"),
    ("{}", "[]"),
]


def test_different_json_is_a_change(console: Console, ann: Visitor) -> None:
    stored = "SELECT commission_structure::text FROM partners WHERE id = $1"
    for value in (value for pair in OTHER_JSON for value in pair):
        assert ann.send("PATCH", PARTNER, {"commission_structure": value}).status_code == 200
        assert console.value(stored, ACME.rows["partners"]) == value


VALUES: list[tuple[str, str, Any]] = [
    ("partners", "website", None),
    ("partners", "website", "https://partner.example"),
    ("partners", "primary_contact", None),
    ("partners", "relationship_health", None),
    ("opportunities", "actual_close_date", "2026-01-31"),
    ("opportunities", "actual_close_date", None),
    ("opportunities", "assigned_user_id", None),
    ("users", "is_active", False),
    ("users", "last_login_at", "2026-01-31T12:00:00Z"),
    ("quarterly_goals", "current_value", "0.01"),
]


def test_a_value_comes_and_goes(ann: Visitor) -> None:
    for table, column, value in VALUES:
        path = f"{table}/{ACME.rows[table]}/"
        assert ann.send("PATCH", path, {column: value}).status_code == 200
        assert ann.rows(table)[0][column] == value


def test_the_word_null_is_no_text_for_piccolo(console: Console, ann: Visitor) -> None:
    """Its page means nothing by it; so a field cannot be given that word, in any case."""
    assert ann.send("PATCH", PARTNER, {"website": "https://partner.example"}).status_code == 200
    assert ann.send("PATCH", PARTNER, {"website": "Null"}).status_code == 200
    assert ann.rows("partners")[0]["website"] is None
    assert ann.send("PATCH", PARTNER, {"name": "null"}).status_code == 422
    assert ann.rows("partners")[0]["name"] == "Partner of Acme"


NEW: dict[str, dict[str, Any]] = {
    "users": {"email": "n@acme.example", "first_name": "N", "last_name": "N", "role": "admin"},
    "partners": {"name": "N", "domain": "n.example", "commission_structure": '{"rate": 1}'},
    "opportunities": {
        "partner_id": str(ACME.rows["partners"]),
        "customer_name": "N",
        "deal_value": "1.50",
        "stage": "proposal",
        "expected_close_date": "2026-12-31",
    },
    "quarterly_goals": {"quarter": 2, "year": 2026, "goal_type": "revenue", "target_value": "1.00"},
    "alerts": {"alert_type": "n", "entity_type": "partner", "title": "N", "message": "N"},
}


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_new_row_has_the_defaults_of_its_table(
    console: Console, ann: Visitor, table: str
) -> None:
    """As the table class gives them, and a form that was left as it is."""
    empty = ann.get(f"/console/api/tables/{table}/new/").json()
    ids = []
    for facts in (NEW[table], empty | NEW[table]):
        added = ann.send("POST", f"{table}/", facts)
        assert added.status_code == 201, added.text
        ids.append(UUID(added.json()[0]["id"]))
        row = console.query(f"SELECT * FROM {table} WHERE id = $1", ids[-1])[0]
        assert row["organization_id"] == ACME.id
        expected = defaults(table)
        assert {name: row[name] for name in expected} == expected
        assert {name: ann_sees(ann, table, ids[-1])[name] for name in NEW[table]} == NEW[table]
        console.query(f"DELETE FROM {table} WHERE id = $1", ids[-1])
    assert ids[0] != ids[1]


def ann_sees(ann: Visitor, table: str, row_id: UUID) -> dict[str, Any]:
    [row] = ann.rows(table, f"id={row_id}")
    return row


def defaults(table: str) -> dict[str, Any]:
    """What the product's own class gives to a row, but for the times."""
    [of_product] = [each for each in TABLES if each._meta.tablename == table]
    row = of_product(_ignore_missing=True)
    found = {}
    for column in of_product._meta.columns:
        name = str(column._meta.db_column_name)
        if (
            name not in NEW[table]
            and not name.endswith("_at")
            and name not in {"id", "password_hash"}
        ):
            found[name] = getattr(row, column._meta.name)
    found.pop("organization_id")
    return found


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_form_marks_required_fields(reader: Visitor, table: str) -> None:
    schema = reader.get(f"/console/api/tables/{table}/schema/").json()
    assert set(schema["required"]) == set(NEW[table])
    refused = reader.send("POST", f"{table}/", {})
    assert refused.status_code == 422
    assert {each["loc"][1] for each in refused.json()["detail"]} == set(NEW[table])


def test_every_table_is_shown_without_secret_columns() -> None:
    shown = {
        table._meta.tablename: {column._meta.name for column in table._meta.columns}
        for table in shown_tables()
    }
    for table in TABLES:
        columns = {str(column._meta.db_column_name) for column in table._meta.columns}
        assert shown[table._meta.tablename] == columns - {"organization_id", "password_hash"}
    assert {table._meta.tablename: table.named_by for table in shown_tables()} == {
        "organizations": ("name",),
        "users": ("email",),
        "partners": ("name",),
        "opportunities": ("customer_name",),
        "quarterly_goals": ("goal_type", "year", "quarter"),
        "alerts": ("title",),
    }
