"""The console shows and changes the rows of one organization, and no others."""

from uuid import UUID, uuid4

import pytest
from starlette.routing import BaseRoute, Mount, Route

from partman.serve.console.routes import routes
from partman.serve.console.scope import TENANT
from tests.serve.organizations import (
    ACME,
    BRAVO,
    OF_A_TENANT,
    OLGA,
    PRODUCT_HASH,
    TABLES,
)
from tests.serve.page import Page
from tests.serve.visitors import ROWS, Console, Visitor, everything_of, made_console

HIDDEN = ("organization_id", "organization", "password_hash")

PATHS = {
    "/console/": {"GET"},
    "/console/{table}.csv": {"GET"},
    "/console/{table}/": {"GET"},
    "/console/{table}/new/": {"GET", "POST"},
    "/console/{table}/delete/": {"GET", "POST"},
    "/console/{table}/row/{row:path}": {"GET", "POST"},
}
"""What somebody has looked at: each of these is asked for below."""


def test_every_page_has_been_reviewed() -> None:
    assert dict(endpoints(each) for each in routes(made_console(), [])) == PATHS


def endpoints(route: BaseRoute) -> tuple[str, set[str]]:
    assert isinstance(route, Route)
    assert not isinstance(route, Mount)
    return route.path, (route.methods or set()) - {"HEAD"}


def addresses(table: str, key: object) -> list[tuple[str, str]]:
    """All addresses for a row of a table, with their methods."""
    return [
        (path.replace("{table}", table).replace("{row:path}", str(key)), method)
        for path, methods in PATHS.items()
        for method in methods
    ]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_another_organization_is_to_be_seen(reader: Visitor, table: str) -> None:
    own, others = str(ACME.rows[table]), str(BRAVO.rows[table])
    path = f"{ROWS}{table}/"
    assert [row["id"] for row in reader.rows(table)] == [own]
    for filters in (f"id={others}", "q=bravo", "q=Bravo", "q=%25bravo"):
        assert reader.rows(table, filters) == []
    for page in ("", "?q=2026", f"?after={others}", f"?before={others}", "?sort=-id", "new/"):
        answer = reader.get(path + page)
        assert answer.status_code == 200
        assert "bravo" not in (answer.text + str(answer.headers)).lower()
        assert str(BRAVO.id)[:8] not in answer.text
    seen = reader.get(f"{path}row/{own}")
    assert seen.status_code == 200
    assert "bravo" not in seen.text.lower()
    unknown = reader.get(f"{path}row/{uuid4()}")
    for missing in (reader.get(f"{path}row/{others}"), reader.get(f"{path}delete/?row={others}")):
        # Whether it is another's or nobody's is not to be told.
        assert (missing.status_code, missing.text) == (404, unknown.text)
    both = reader.get(f"{path}delete/?row={own}&row={others}")
    assert (both.status_code, both.text) == (404, unknown.text)


def test_counts_are_of_the_own_rows(reader: Visitor) -> None:
    home = Page(reader.get(ROWS).text)
    assert [tile.text.split()[-1] for tile in home.main.each("ul", "tiles").all("li")] == ["1"] * 6
    for table in TABLES:
        page = Page(reader.get(f"{ROWS}{table}/").text)
        assert page.main.each("span", "count").text == "1"


def test_no_filter_finds_the_rows_of_another_organization(reader: Visitor) -> None:
    rows = BRAVO.rows
    assert reader.rows("opportunities", f"partner_id={rows['partners']}") == []
    assert reader.rows("opportunities", "customer_name=Customer of Bravo") == []
    assert reader.rows("alerts", f"user_id={rows['users']}") == []
    [found] = reader.rows("opportunities", "deal_value=1234.50&sort=-stage")
    assert found["customer_name"] == "Customer of Acme"
    page = reader.get(f"{ROWS}opportunities/?partner_id={rows['partners']}")
    assert "Bravo" not in page.text


@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_another_organization_is_to_be_changed(
    shared_console: Console, reader: Visitor, table: str
) -> None:
    before = everything_of(shared_console, BRAVO)
    sent = reader.filled(f"{table}/row/{ACME.rows[table]}")
    for fields in (sent, sent[:2], [*sent, ("_again", "search")]):
        refused = reader.send_form(f"{ROWS}{table}/row/{BRAVO.rows[table]}", fields)
        assert refused.status_code == 404
        assert "Bravo" not in refused.text
    assert reader.remove(table, BRAVO.rows[table]).status_code in {403, 404}
    assert reader.remove(table, ACME.rows[table], BRAVO.rows[table]).status_code in {403, 404}
    assert everything_of(shared_console, BRAVO) == before
    assert everything_of(shared_console, ACME)


REFERENCES = [
    ("opportunities", "partner_id", "partners"),
    ("opportunities", "assigned_user_id", "users"),
    ("quarterly_goals", "user_id", "users"),
    ("alerts", "user_id", "users"),
]


@pytest.mark.parametrize(("table", "reference", "to"), REFERENCES)
def test_a_row_refers_to_none_of_another_organization(
    shared_console: Console, reader: Visitor, table: str, reference: str, to: str
) -> None:
    before = everything_of(shared_console, ACME)
    path, others = f"{table}/row/{ACME.rows[table]}", str(BRAVO.rows[to])
    new = dict(reader.filled(path)) | {reference: others}
    new |= {"quarter": "2"} if "quarter" in new else {}
    changed = reader.save(path, **{reference: others})
    added = reader.send_form(f"{ROWS}{table}/new/", list(new.items()))
    unknown = reader.save(path, **{reference: str(uuid4())})
    for refused in (changed, added, unknown):
        assert refused.status_code == 422
        # Whether it is another's or nobody's is not to be told.
        said = Page(refused.text).error_of(reference)
        assert said == "This row does not exist any more; choose another one."
        assert "Bravo" not in refused.text
    assert everything_of(shared_console, ACME) == before


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_row_stays_with_its_organization(console: Console, ann: Visitor, table: str) -> None:
    path, others = f"{table}/row/{ACME.rows[table]}", str(BRAVO.id)
    before = everything_of(console, BRAVO), everything_of(console, ACME)
    for name in ("organization_id", "organization", "id"):
        assert ann.save(path, **{name: others}).status_code == 400
        assert ann.save(f"{table}/new/", **{name: others}).status_code == 400
    assert (everything_of(console, BRAVO), everything_of(console, ACME)) == before


@pytest.mark.parametrize("table", TABLES)
def test_without_a_session_there_is_nothing(shared_console: Console, table: str) -> None:
    visitor = shared_console.visitor()
    for path, method in addresses(table, ACME.rows[table]):
        fields = [(TENANT, str(ACME.id)), ("name", "changed"), ("row", str(ACME.rows[table]))]
        answer = visitor.get(path) if method == "GET" else visitor.send_form(path, fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.parametrize("table", TABLES)
def test_an_operator_sees_the_organization_that_was_chosen(
    shared_console: Console, table: str
) -> None:
    without = shared_console.signed_in(OLGA)
    for path, method in addresses(table, ACME.rows[table]):
        fields = [(TENANT, str(ACME.id)), ("row", str(ACME.rows[table]))]
        answer = without.get(path) if method == "GET" else without.send_form(path, fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/organization")
    for first in (ACME, BRAVO):
        olga = shared_console.signed_in(OLGA, first.id)
        assert [row["id"] for row in olga.rows(table)] == [str(first.rows[table])]


def test_a_form_of_another_organization_than_the_chosen_one_is_refused(console: Console) -> None:
    """An operator has chosen another one meanwhile, in another tab."""
    olga = console.signed_in(OLGA, BRAVO.id)
    before = everything_of(console, BRAVO)
    path = f"partners/row/{BRAVO.rows['partners']}"
    form = dict(olga.filled(path, name="of Acme"))
    for shown in (str(ACME.id), "", "bravo", None):
        sent = form | {TENANT: shown}
        fields = [(name, value) for name, value in sent.items() if value is not None]
        gone = [*fields, ("row", str(BRAVO.rows["partners"]))]
        for answer in (
            olga.send_form(ROWS + path, fields),
            olga.send_form(f"{ROWS}partners/new/", fields),
            olga.send_form(f"{ROWS}partners/delete/", gone),
        ):
            assert answer.status_code == 409
            assert "Another organization was chosen" in answer.text
    assert everything_of(console, BRAVO) == before
    assert olga.send_form(ROWS + path, list(form.items())).status_code == 303


def test_no_answer_has_a_password_or_an_organization(ann: Visitor, console: Console) -> None:
    path = f"users/row/{ACME.rows['users']}"
    new = {"email": "n@acme.example", "first_name": "a", "last_name": "b", "role": "viewer"}
    answers = [
        ann.get(address)
        for table in TABLES
        for address, method in addresses(table, ACME.rows[table])
        if method == "GET"
    ]
    answers += [
        ann.save(path, first_name="c"),
        ann.save(path, email=""),
        ann.save("users/new/", **new),
        ann.save("users/new/", **new),
        ann.get("/console/users.csv"),
    ]
    said = "".join(answer.text for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 303, 422}
    assert [
        word for word in ("organization_id", "assword_", PRODUCT_HASH, "$2b$") if word in said
    ] == []
    assert console.value("SELECT count(*) FROM users WHERE password_hash = $1", PRODUCT_HASH) == 2


@pytest.mark.parametrize("column", HIDDEN)
@pytest.mark.parametrize("query", ["sort={}", "sort=-{}", "{}=x", "q=a&{}=", "sort=email,{}"])
def test_hidden_columns_can_be_neither_sorted_nor_filtered_by(
    reader: Visitor, query: str, column: str
) -> None:
    for path in ("users/", "users.csv"):
        assert reader.get(f"{ROWS}{path}?{query.format(column)}").status_code == 400


def test_a_search_does_not_find_what_is_hidden(reader: Visitor) -> None:
    for word in (PRODUCT_HASH, "2b", str(ACME.id)):
        assert reader.rows("users", f"q={word}") == []


def test_no_column_of_another_table_is_joined(reader: Visitor) -> None:
    for name in ("user_id.email", "user_id.password_hash", "user_id.organization_id.name"):
        for query in (f"sort={name}", f"{name}=x"):
            assert reader.get(f"{ROWS}alerts/?{query}").status_code == 400


def test_a_password_is_neither_set_nor_changed(console: Console, ann: Visitor) -> None:
    path = f"users/row/{ACME.rows['users']}"
    new = {"email": "n@acme.example", "first_name": "a", "last_name": "b", "role": "viewer"}
    for other in ("password_hash", "password"):
        assert ann.save(path, **{other: "$2b$mine"}).status_code == 400
        assert ann.save("users/new/", **new, **{other: "$2b$mine"}).status_code == 400
    assert ann.save("users/new/", **new).status_code == 303
    hashes = dict(console.query("SELECT email, password_hash FROM users WHERE email LIKE '%acme%'"))
    # "!" is the hash of no password: the user has to be given one in the product.
    assert hashes == {"user@acme.example": PRODUCT_HASH, "n@acme.example": "!"}


def test_of_an_organization_the_name_and_the_settings_may_be_changed(
    console: Console, ann: Visitor
) -> None:
    path = f"organizations/row/{ACME.id}"
    assert {name for name in ann.fields(path) if not name.startswith(("_", "settings/"))} == {
        "csrftoken",
        "name",
    }
    assert ann.save(path, name="Acme Inc.").status_code == 303
    assert ann.save(path, **{"settings/.of:s": "Acme Inc."}).status_code == 303
    before = everything_of(console, ACME)
    for change in (
        {"subdomain": "free"},
        {"is_active": "false"},
        {"subscription_tier": "enterprise"},
        {"max_users": "1000000"},
        {"name": "Acme", "max_users": "1000000"},
        {"created_at": "2000-01-01T00:00:00"},
        {"updated_at": "2000-01-01T00:00:00"},
    ):
        assert ann.save(path, **change).status_code == 400
    assert ann.remove("organizations", ACME.id).status_code == 403
    sent = {TENANT: str(ACME.id), "name": "New"}
    for subdomain in ("free", "bravo"):  # nobody is told which subdomains are taken
        new = list((sent | {"subdomain": subdomain}).items())
        added = ann.send_form(f"{ROWS}organizations/new/", new)
        assert added.status_code == 403
        assert "A new organization cannot be added here" in added.text
    assert everything_of(console, ACME) == before
    assert console.value("SELECT count(*) FROM organizations WHERE subdomain = 'free'") == 0
    page = ann.get(f"{ROWS}organizations/").text
    assert "New organization" not in page
    assert "Delete" not in page + ann.get(ROWS + path).text


def test_what_the_form_would_forbid_the_database_forbids_too(
    console: Console, ann: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form asks the database what may be changed; that is a courtesy, and no wall."""
    from partman.serve.console import delete_view, form_view, list_view

    async def everything(shown: object) -> list_view.Rights:
        names = frozenset({"name", "subdomain", "max_users", "settings"})
        return list_view.Rights(insert=True, delete=True, update=names)

    for module in (delete_view, form_view):
        monkeypatch.setattr(module, "may", everything)
    before = everything_of(console, ACME)
    new = {"name": "New", "subdomain": "free"}
    for refused in (
        ann.save(f"organizations/row/{ACME.id}", max_users="1000000"),
        ann.save("organizations/new/", **new),
        ann.remove("organizations", ACME.id),
    ):
        assert refused.status_code == 403
        assert "only allowed for the platform" in refused.text
    assert everything_of(console, ACME) == before


def test_rows_are_deleted_that_were_chosen_and_no_others(console: Console, ann: Visitor) -> None:
    before = everything_of(console, ACME)
    nothing = "/console/alerts/?done=none"
    for query in ("", "?id=1", "?row="):
        assert ann.get(f"{ROWS}alerts/delete/{query}").headers["location"] == nothing
    assert ann.remove("alerts").headers["location"] == nothing
    assert "No row was chosen, so nothing was deleted." in ann.get(nothing).text
    for method in ("DELETE", "PUT", "PATCH"):
        path = f"{ROWS}alerts/row/{ACME.rows['alerts']}"
        assert ann.ask(method, path, {}).status_code == 405
    many = [uuid4() for _ in range(101)]
    assert ann.remove("alerts", ACME.rows["alerts"], *many).status_code == 404
    assert ann.remove("alerts", ACME.rows["alerts"], UUID(int=1)).status_code == 404
    assert everything_of(console, ACME) == before
    asked = Page(ann.get(f"{ROWS}alerts/delete/?row={ACME.rows['alerts']}").text)
    assert "Alert of Acme" in asked.text
    assert everything_of(console, ACME) == before
    assert ann.remove("alerts", ACME.rows["alerts"]).status_code == 303
    assert ann.rows("alerts") == []


def test_a_table_that_is_not_shown_is_not_there(reader: Visitor) -> None:
    for name in ("console_accounts", "pg_class", "migration", "public.users", "x" * 5000, "%00"):
        assert reader.get(f"{ROWS}{name}/").status_code == 404
        assert reader.get(f"{ROWS}{name}.csv").status_code == 404
        assert reader.get(f"{ROWS}{name}/row/1").status_code == 404
