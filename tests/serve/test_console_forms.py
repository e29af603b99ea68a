"""A form changes what somebody has changed in it, and says what is refused."""

import json
from uuid import UUID

import httpx
import pytest
from piccolo.constraints import Check

from partman.serve.console import json_text
from tests.faults.processes import wait_until
from tests.serve.organizations import ACME
from tests.serve.page import Page
from tests.serve.visitors import ROWS, Console, Visitor, console_tables, everything_of
from tests.support import execute
from tests.tenants import held

PARTNER = f"partners/row/{ACME.rows['partners']}"


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
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'refused'; END $$",
        *(
            f"CREATE TRIGGER refuse_{name} BEFORE UPDATE OF {name} ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
            for name in columns
            if name not in but
        ),
    )


CHANGES: dict[str, dict[str, str]] = {
    "organizations": {"settings/.of:s": "somebody else"},
    "users": {"last_name": "changed"},
    "partners": {"website": "https://changed.example"},
    "opportunities": {"deal_value": "1,234.51"},
    "quarterly_goals": {"target_value": "1001"},
    "alerts": {"entity_id": str(UUID(int=1))},
}


def path_of(table: str) -> str:
    return f"{table}/row/{ACME.rows[table]}"


@pytest.mark.parametrize("table", CHANGES)
def test_a_form_saves_only_changed_fields(console: Console, ann: Visitor, table: str) -> None:
    """It sends every field, the empty ones too."""
    [(name, value)] = CHANGES[table].items()
    column = name.partition("/")[0]
    sent = ann.filled(path_of(table), **CHANGES[table])
    refuse_changes(console, table, column)
    changed = ann.send_form(ROWS + path_of(table), sent)
    assert changed.headers["location"] == f"{ROWS}{path_of(table)}?done=saved", changed.text
    assert value.replace(",", "") in ann.rows(table)[0][column]


def test_a_form_in_which_nothing_was_changed_changes_nothing(
    console: Console, ann: Visitor
) -> None:
    """Nor one with the same JSON in other words, and other line breaks."""
    console.query("UPDATE opportunities SET notes = E'a\\nb\\r\\nc\\rd'")
    console.query("UPDATE partners SET website = E' \\n', primary_contact = $1", ODD_CONTACT)
    for table in CHANGES:
        sent = ann.filled(path_of(table))
        refuse_changes(console, table)
        assert ann.send_form(ROWS + path_of(table), sent).headers["location"].endswith("?done=same")
        own = [each for each in sent if each[0].startswith("_")]
        assert ann.send_form(ROWS + path_of(table), own).headers["location"].endswith("?done=same")
        for name in list(dict(sent)):
            column, _, rest = name.partition("/")
            if rest == ":root":
                [row] = ann.rows(table)
                as_text = json_text.write(json_text.read(row[column]), indent=3)
                answer = ann.send_form(ROWS + path_of(table), [*own, (column, as_text)])
                assert answer.headers["location"].endswith("?done=same"), column


ODD_CONTACT = """{"name": "a\\r\\nb", "": "no key", "a/b~c:d": "", "n": null, "rate": 1.0,
"deep": {"list": [], "of": [{"rate": 10, "to": null}, {"rate": 2.50}], "object": {}},
"on": false}"""


@pytest.mark.parametrize("table", [table for table in CHANGES if table != "alerts"])
def test_a_form_does_not_overwrite_concurrent_changes(
    console: Console, ann: Visitor, table: str
) -> None:
    """Its other fields are as they were: they would overwrite what is there now."""
    sent = ann.filled(path_of(table), **CHANGES[table])
    execute(console.database.url, f"ALTER TABLE {table} DISABLE TRIGGER set_updated_at")
    console.query(
        f"UPDATE {table} SET updated_at = updated_at + interval '1 microsecond' WHERE id = $1",
        ACME.rows[table],
    )
    before = console.query(f"SELECT * FROM {table} ORDER BY id")
    unversioned = [each for each in sent if each[0] != "_version"]
    for fields in (sent, unversioned):
        refused = ann.send_form(ROWS + path_of(table), fields)
        assert refused.status_code == 412
        page = Page(refused.text)
        assert "Somebody else has changed it since this form was opened" in page.text
        # Sent once more, it is refused once more; and what was typed is still there.
        assert page.fields()["_version"] == dict(fields).get("_version", "")
        [(name, value)] = CHANGES[table].items()
        assert page.fields()[name] == value
        assert console.query(f"SELECT * FROM {table} ORDER BY id") == before
    assert ann.save(path_of(table), **CHANGES[table]).status_code == 303


def test_what_somebody_else_has_saved_is_shown_beside_what_was_typed(
    console: Console, ann: Visitor
) -> None:
    path = path_of("opportunities")
    sent = ann.filled(path, customer_name="Mine", stage="proposal")
    console.query("UPDATE opportunities SET customer_name = 'Theirs', notes = NULL")
    page = Page(ann.send_form(ROWS + path, sent).text)
    assert [each.text for each in page.main.all("p", "theirs")] == [
        "Saved meanwhile: Theirs",
        "Saved meanwhile: Negotiation",
        "Saved meanwhile: (empty)",
    ]


def test_of_two_forms_at_once_the_second_one_is_refused(console: Console, ann: Visitor) -> None:
    sent = ann.filled(PARTNER, website="https://changed.example")
    with held(console.database.url, "UPDATE partners SET name = 'new', updated_at = now()"):
        saved = console.portal.start_task_soon(ann.aform, ROWS + PARTNER, sent)
        wait_until(console.waits_for_a_lock, "the other one is at it")
    assert saved.result().status_code == 412
    assert ann.rows("partners")[0]["name"] == "new"


def test_a_row_that_was_deleted_meanwhile_can_be_added_anew(console: Console, ann: Visitor) -> None:
    sent = ann.filled(PARTNER, website="https://changed.example")
    console.query("DELETE FROM partners WHERE id = $1", ACME.rows["partners"])
    gone = ann.send_form(ROWS + PARTNER, sent)
    assert gone.status_code == 404
    page = Page(gone.text)
    assert "It was deleted meanwhile. Nothing was saved." in page.text
    assert page.fields()["website"] == "https://changed.example"
    assert page.main.each("form", method="post").attributes["action"] == "/console/partners/new/"
    added = ann.send_form(f"{ROWS}partners/new/", list(page.fields().items()))
    assert added.status_code == 303, added.text
    assert [row["website"] for row in ann.rows("partners")] == ["https://changed.example"]


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
        assert save_as_text(ann, "commission_structure", value).status_code == 303
        assert console.value(stored, ACME.rows["partners"]) == value


def save_as_text(ann: Visitor, column: str, text: str) -> httpx.Response:
    """Save JSON that somebody has written as such."""
    sent = [each for each in ann.filled(PARTNER) if not each[0].startswith(f"{column}/")]
    return ann.send_form(ROWS + PARTNER, [*sent, (column, text)])


VALUES: list[tuple[str, str, str, str]] = [
    ("partners", "website", "", ""),
    ("partners", "website", "Null", "Null"),
    ("partners", "website", " https://partner.example ", " https://partner.example "),
    ("partners", "name", "null", "null"),
    ("partners", "relationship_health", "", ""),
    ("partners", "status", "pending", "pending"),
    ("partners", "status", "", ""),
    ("opportunities", "actual_close_date", "2026-01-31", "2026-01-31"),
    ("opportunities", "actual_close_date", "", ""),
    ("opportunities", "assigned_user_id", "", ""),
    ("opportunities", "notes", "a\r\nb", "a\nb"),
    ("users", "is_active", "false", "False"),
    ("alerts", "resolved_at", "2026-01-31T12:00", "2026-01-31 12:00:00+00:00"),
    ("alerts", "resolved_at", "2026-01-31T12:00:01+02:00", "2026-01-31 10:00:01+00:00"),
    ("quarterly_goals", "quarter", "3", "3"),
    ("quarterly_goals", "current_value", "0.01", "0.01"),
]


def test_a_value_comes_and_goes(ann: Visitor) -> None:
    for table, column, typed, stored in VALUES:
        saved = ann.save(path_of(table), **{column: typed})
        assert saved.status_code == 303, saved.text
        assert ann.rows(table)[0][column] == stored


def test_a_contact_is_edited_field_by_field(console: Console, ann: Visitor) -> None:
    stored = "SELECT primary_contact::text FROM partners WHERE id = $1"
    for sent, expected in (
        ({"primary_contact/.name:d": "Ada"}, '{"name": "Ada"}'),
        (
            {"primary_contact/.email:d": "a@b.example", "primary_contact/+key": "floor",
             "primary_contact/+value": "3"},
            '{"name": "Ada", "email": "a@b.example", "floor": "3"}',
        ),
        (
            {"primary_contact/.name:s": "", "primary_contact/.floor:s": "4"},
            '{"email": "a@b.example", "floor": "4"}',
        ),
        ({"primary_contact/.email:s": "", "primary_contact/.floor:s": ""}, "{}"),
    ):  # fmt: skip
        assert ann.save(PARTNER, **sent).status_code == 303
        assert json.loads(console.value(stored, ACME.rows["partners"])) == json.loads(expected)
    refused = Page(ann.save(PARTNER, **{"primary_contact/+value": "3"}).text)
    assert refused.error_of("primary_contact") == "Name the other value, too."
    assert refused.fields()["primary_contact/+value"] == "3"


def test_a_list_of_objects_is_edited_in_groups(console: Console, ann: Visitor) -> None:
    stored = "SELECT commission_structure::text FROM partners WHERE id = $1"
    tiers = (
        '{"type": "tiered", "tiers": [{"from": "0.00", "rate": 8}, {"from": "50", "rate": 12.50}]}'
    )
    assert save_as_text(ann, "commission_structure", tiers).status_code == 303
    path = "commission_structure/.tiers/"
    refused = Page(ann.save(PARTNER, **{f"{path}#0/.rate:n": "much"}).text)
    assert refused.error_of("commission_structure") == "Rate is not a number."
    assert refused.fields()[f"{path}#0/.rate:n"] == "much"
    changes = {
        f"{path}#0/.from:s": "",
        f"{path}#0/.rate:n": "",
        f"{path}#1/.rate:n": "12.750",
        f"{path}#2/.from:d": "99",
    }
    assert ann.save(PARTNER, **changes).status_code == 303
    assert json.loads(console.value(stored, ACME.rows["partners"]), parse_float=str) == {
        "type": "tiered",
        "tiers": [{"from": "50", "rate": "12.750"}, {"from": "99"}],
    }


def test_a_button_shows_the_json_itself(ann: Visitor) -> None:
    sent = ann.filled(PARTNER, name="typed", _again="json:commission_structure")
    shown = Page(ann.send_form(ROWS + PARTNER, sent).text).fields()
    assert json.loads(shown["commission_structure"]) == {"on": True, "rate": 10}
    assert shown["name"] == "typed"
    assert "commission_structure/:root" not in shown
    assert ann.rows("partners")[0]["name"] == "Partner of Acme"


REFUSED: list[tuple[str, str, str, str]] = [
    ("partners", "name", "", "Enter a value."),
    ("partners", "name", "x" * 256, "At most 255 characters; these are 256."),
    ("partners", "relationship_health", "much", "Enter a whole number, such as 12."),
    ("partners", "relationship_health", "3000000000", "At most 2,147,483,647, and"),
    ("partners", "relationship_health", "101", "Enter a number from 0 to 100."),
    ("partners", "status", "asleep", "Choose one of the list."),
    ("opportunities", "deal_value", "1.234", "At most 2 digits after the point."),
    ("opportunities", "deal_value", "1" * 14, "At most 13 digits before the point."),
    ("opportunities", "deal_value", "1,23", "Enter a number, such as 1234.50."),
    ("opportunities", "deal_value", "-1", "Enter an amount that is not negative."),
    ("opportunities", "expected_close_date", "31.12.2026", "Enter a day as year-month-day"),
    ("opportunities", "partner_id", "", "Choose one."),
    ("opportunities", "partner_id", "nobody", "Enter an ID of the form"),
    ("alerts", "resolved_at", "tomorrow", "Enter a day and a time"),
    ("alerts", "entity_id", "1", "Enter an ID of the form"),
    ("users", "is_active", "maybe", "Choose Yes or No."),
    ("users", "email", "other@acme.example", "Another row already has this email."),
]


@pytest.mark.parametrize(("table", "column", "typed", "says"), REFUSED)
def test_a_refusal_says_why_at_the_field_and_keeps_what_was_typed(
    shared_console: Console, reader: Visitor, table: str, column: str, typed: str, says: str
) -> None:
    shared_console.query(
        "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
        " VALUES ($1, 'other@acme.example', '!', 'O', 'Other', 'viewer') ON CONFLICT DO NOTHING",
        ACME.id,
    )
    before = everything_of(shared_console, ACME)
    user = "users/row/" + str(ACME.rows["users"])
    refused = reader.save(user if table == "users" else path_of(table), **{column: typed})
    assert refused.status_code == 422
    page = Page(refused.text)
    assert page.error_of(column).startswith(says)
    assert page.fields()[column] == typed
    assert page.main.each(id=column).attributes["aria-invalid"] == "true"
    [notice] = page.notices("error")
    assert "Nothing was saved" in notice
    assert everything_of(shared_console, ACME) == before


def test_every_rule_of_the_tables_has_words() -> None:
    """And words are of no other rule."""
    tables = console_tables()
    checks = {
        each._meta.name
        for shown in tables
        for each in shown.table._meta.constraints
        if isinstance(each, Check)
    }
    assert set(tables.rules) == checks


def test_a_rule_without_words_is_told_as_the_database_has_it(
    console: Console, ann: Visitor
) -> None:
    console.query("ALTER TABLE partners ADD CHECK (website <> 'none')")
    page = Page(ann.save(PARTNER, website="none").text)
    assert page.error_of("website").startswith("Not allowed: it has to be ((website)::text <> ")


def test_of_rows_that_are_called_alike_the_ids_are_shown(console: Console, ann: Visitor) -> None:
    for email in ("a@acme.example", "b@acme.example"):
        console.query(
            "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
            " VALUES ($1, $2, '!', 'Ada', 'Amber', 'viewer')",
            ACME.id,
            email,
        )
    shown = Page(ann.get(f"{ROWS}opportunities/new/").text).main.each(id="assigned_user_id")
    options = {each.attributes["value"]: each.text for each in shown.all("option")}
    ids = [row["id"] for row in console.query("SELECT id FROM users WHERE first_name = 'Ada'")]
    assert [options[str(each)] for each in ids] == [f"Ada Amber ({each})" for each in ids]
    others = {label for value, label in options.items() if value not in map(str, ids)}
    assert not any("(" in label for label in others)


def test_a_search_of_a_reference_says_how_many_there_are_and_keeps_the_form(
    console: Console, ann: Visitor
) -> None:
    console.query(
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT $1, 'Reseller ' || n, 'example.com', '{}' FROM generate_series(1, 149) AS n",
        ACME.id,
    )
    path = f"opportunities/row/{ACME.rows['opportunities']}"
    own = str(ACME.rows["partners"])
    assert "The first 100 of 150. Search to see others." in ann.get(ROWS + path).text
    for wanted, told, options in (
        ("reseller", "The first 100 of 149. Search to see others.", 101),
        ("seller 14", "12 found.", 13),
        ("nobody's", "Nothing was found.", 1),
    ):
        sent = ann.filled(path, notes="typed", **{"_search.partner_id": wanted})
        page = Page(ann.send_form(ROWS + path, sent).text)  # Enter in the search does not save
        assert told in page.text, wanted
        assert (page.fields()["notes"], page.fields()["partner_id"]) == ("typed", own)
        values = page.main.each("select", name="partner_id").all("option")
        # The one that was chosen stays among them.
        assert len([each for each in values if each.attributes["value"]]) == options
    saved = "SELECT notes FROM opportunities WHERE id = $1"
    assert console.value(saved, ACME.rows["opportunities"]) == "Notes of Acme"
