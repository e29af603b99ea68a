"""Piccolo Admin's API shows and changes the rows of one organization, and no others."""

from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import BaseRoute, Mount, Route

from partman.serve.console.api import TenantScope
from tests.serve.organizations import (
    ACME,
    BRAVO,
    OF_A_TENANT,
    OLGA,
    PRODUCT_HASH,
    TABLES,
)
from tests.serve.visitors import API, Console, Visitor, everything_of, made_console

HIDDEN = ("organization_id", "organization", "password_hash")

OF_A_TABLE = {
    ("", "GET"),
    ("", "POST"),
    ("count/", "GET"),
    ("ids/", "GET"),
    ("new/", "GET"),
    ("references/", "GET"),
    ("schema/", "GET"),
    ("{row_id:str}/", "DELETE"),
    ("{row_id:str}/", "GET"),
    ("{row_id:str}/", "PATCH"),
    ("{row_id:str}/", "PUT"),
}
"""What somebody has looked at: each of these is asked for below."""
OTHERS = {
    ("/change-password/", "POST"),
    ("/docs", ""),
    ("/forms/", "GET"),
    ("/forms/grouped/", "GET"),
    ("/forms/{form_slug:str}/", "GET"),
    ("/forms/{form_slug:str}/", "POST"),
    ("/forms/{form_slug:str}/schema/", "GET"),
    ("/links/", "GET"),
    ("/media/", "POST"),
    ("/media/generate-file-url/", "POST"),
    ("/openapi.json", "GET"),
    ("/tables/", "GET"),
    ("/tables/grouped/", "GET"),
    ("/user/", "GET"),
}
"""None of them asks for an organization's rows."""


def test_every_endpoint_has_been_reviewed() -> None:
    found = {first for route in private_api().routes for first in endpoints(route)}
    tables = {(f"/tables/{table}/{path}", verb) for table in TABLES for path, verb in OF_A_TABLE}
    assert found == tables | OTHERS


def private_api() -> FastAPI:
    [api] = [
        first
        for first in made_console().routes
        if isinstance(first, Mount) and first.path == "/api"
    ]
    assert isinstance(api.app, AuthenticationMiddleware)
    assert isinstance(api.app.app, TenantScope)
    assert isinstance(api.app.app._app, FastAPI)
    return api.app.app._app


def endpoints(route: BaseRoute) -> list[tuple[str, str]]:
    assert isinstance(route, Route | APIRoute | Mount)
    methods = getattr(route, "methods", None) or {""}
    return [(route.path, method) for method in methods - {"HEAD"}]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_another_organization_is_to_be_seen(reader: Visitor, table: str) -> None:
    own, others = str(ACME.rows[table]), str(BRAVO.rows[table])
    path = f"{API}{table}/"
    assert [row["id"] for row in reader.rows(table)] == [own]
    assert [row["id"] for row in reader.rows(table, "__readable=t&__order=-id")] == [own]
    assert reader.rows(table, f"id={others}") == []
    assert reader.get(f"{path}count/").json()["count"] == 1
    assert reader.get(f"{path}count/?id={others}").json()["count"] == 0
    assert list(reader.get(f"{path}ids/").json()) == [own]
    assert list(reader.get(f"{path}ids/?search=%25").json()) == [own]
    for search in ("bravo", "Bravo", others, "2026"):
        assert others not in reader.get(f"{path}ids/?search={search}").text
    assert reader.get(f"{path}{own}/").json()["id"] == own
    assert reader.get(f"{path}{own}/?__readable=t").status_code == 200
    assert reader.get(f"{path}{others}/").status_code == 404
    for answer in ("", "?__range_header=true", "ids/", "count/", "new/", "schema/", "references/"):
        output = reader.get(f"{path}{answer}")
        assert output.status_code == 200
        assert "bravo" not in (output.text + str(output.headers)).lower()
        assert output.headers.get("content-range", "1").endswith("1")


def test_no_filter_finds_the_rows_of_another_organization(reader: Visitor) -> None:
    rows = BRAVO.rows
    assert reader.rows("opportunities", f"partner_id={rows['partners']}") == []
    assert reader.rows("opportunities", "customer_name=Customer of Bravo") == []
    assert reader.rows("alerts", f"user_id={rows['users']}") == []
    found = reader.rows("opportunities", "deal_value=0&deal_value__operator=gte&__order=stage,-id")
    assert [row["customer_name"] for row in found] == ["Customer of Acme"]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_of_another_organization_is_to_be_changed(
    shared_console: Console, reader: Visitor, table: str
) -> None:
    before = everything_of(shared_console, BRAVO)
    path = f"{table}/{BRAVO.rows[table]}/"
    whole = reader.rows(table)[0]
    for method, facts in (("PATCH", {}), ("PATCH", whole), ("PUT", whole), ("DELETE", None)):
        assert reader.send(method, path, facts).status_code == 404
    assert everything_of(shared_console, BRAVO) == before


@pytest.mark.parametrize(
    ("table", "reference", "to"),
    [
        ("opportunities", "partner_id", "partners"),
        ("opportunities", "assigned_user_id", "users"),
        ("quarterly_goals", "user_id", "users"),
        ("alerts", "user_id", "users"),
    ],
)
def test_a_row_refers_to_none_of_another_organization(
    shared_console: Console, reader: Visitor, table: str, reference: str, to: str
) -> None:
    before = everything_of(shared_console, ACME)
    refers = {reference: str(BRAVO.rows[to])}
    new = {**reader.rows(table)[0], **refers, "quarter": 2}
    changed = reader.send("PATCH", f"{table}/{ACME.rows[table]}/", refers)
    added = reader.send("POST", f"{table}/", new)
    unknown = reader.send("PATCH", f"{table}/{ACME.rows[table]}/", {reference: str(uuid4())})
    assert (changed.status_code, added.status_code) == (422, 422)
    # Whether it is another's or nobody's is not to be told.
    assert changed.json() == unknown.json()
    assert everything_of(shared_console, ACME) == before


@pytest.mark.parametrize("table", OF_A_TENANT)
def test_a_row_stays_with_its_organization(console: Console, ann: Visitor, table: str) -> None:
    path, others = f"{table}/{ACME.rows[table]}/", str(BRAVO.id)
    before = everything_of(console, BRAVO)
    for name in ("organization_id", "organization"):
        assert ann.send("PATCH", path, {name: others}).status_code == 400
    refused = ann.send("PATCH", path, {"id": str(BRAVO.rows[table])})
    assert refused.json() == {
        "db_error": "This is only allowed for the platform's operators. Nothing was changed."
    }
    # What is sent with a new row is not even looked at.
    new = {**ann.rows(table)[0], "id": str(UUID(int=1)), "organization_id": others}
    new |= {"email": "new@acme.example", "quarter": 2}
    added = ann.send("POST", f"{table}/", new)
    assert added.status_code == 201, added.text
    [row] = added.json()
    assert row["id"] != new["id"]
    stored = console.value(f"SELECT organization_id FROM {table} WHERE id = $1", UUID(row["id"]))
    assert stored == ACME.id
    assert everything_of(console, BRAVO) == before


@pytest.mark.parametrize("table", TABLES)
def test_without_a_session_there_is_nothing(shared_console: Console, table: str) -> None:
    visitor = shared_console.visitor()
    for path, method in OF_A_TABLE:
        place = path.replace("{row_id:str}", str(ACME.rows[table]))
        refused = visitor.ask(method, f"{API}{table}/{place}", {} if method != "GET" else None)
        assert (refused.status_code, refused.json()) == (401, {"error": "Auth failed"})


def test_the_rest_of_the_api_has_neither(shared_console: Console) -> None:
    visitor = shared_console.visitor()
    for path, method in OTHERS:
        refused = visitor.ask(method or "GET", f"/console/api{path}")
        assert refused.status_code == 401


@pytest.mark.parametrize("table", TABLES)
def test_an_operator_sees_the_organization_that_was_chosen(
    shared_console: Console, table: str
) -> None:
    without = shared_console.signed_in(OLGA)
    for path, method in OF_A_TABLE:
        place = path.replace("{row_id:str}", str(ACME.rows[table]))
        refused = without.ask(method, f"{API}{table}/{place}", {} if method != "GET" else None)
        assert refused.status_code == 422
        assert "No organization is chosen; choose one first: /organization" in refused.text
    for first in (ACME, BRAVO):
        olga = shared_console.signed_in(OLGA, first.id)
        assert [row["id"] for row in olga.rows(table)] == [str(first.rows[table])]


def test_a_page_gets_no_rows_of_an_organization_that_it_does_not_name(console: Console) -> None:
    """An operator has chosen another one meanwhile, in another tab."""
    olga = console.signed_in(OLGA, BRAVO.id)
    before = everything_of(console, BRAVO)
    path = f"partners/{BRAVO.rows['partners']}/"
    for shown in (str(ACME.id), "", "bravo"):
        olga.headers = {"X-Tenant": shown}
        for answer in (olga.get(API + path), olga.send("PATCH", path, {"name": "of Acme"})):
            assert answer.status_code == 409
    olga.headers = {"X-Tenant": str(BRAVO.id)}
    assert olga.get(API + path).status_code == 200
    assert everything_of(console, BRAVO) == before


def test_no_answer_has_a_password_or_an_organization(ann: Visitor, console: Console) -> None:
    new = {"email": "n@acme.example", "first_name": "a", "last_name": "b", "role": "viewer"}
    path = f"users/{ACME.rows['users']}/"
    answers = [
        ann.get(f"{API}{first}{table}{second}")
        for table in TABLES
        for first, second in (
            ("", "/"),
            ("", "/new/"),
            ("", "/schema/"),
            ("", "/ids/"),
            ("", "/count/"),
        )
    ]
    answers += [
        ann.get(f"{API}{path}?__readable=t"),
        ann.get(f"{API}users/?__readable=t&__visible_fields=id,email"),
        ann.get(f"{API}alerts/?__readable=t"),
        ann.send("PATCH", path, {"first_name": "c"}),
        ann.send("POST", "users/", new),
    ]
    output = "".join(answer.text for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 201}
    assert [
        word for word in (*HIDDEN[:1], "password", PRODUCT_HASH, "$2b$") if word in output
    ] == []
    assert console.query("SELECT DISTINCT password_hash FROM users ORDER BY 1") != []


@pytest.mark.parametrize("column", HIDDEN)
@pytest.mark.parametrize(
    "query",
    [
        "__order={}",
        "__order=-{}",
        "__order=email,{}",
        "__visible_fields={}",
        "__visible_fields=email,{}",
        "{}=x",
        "{}__match=starts&{}=$",
        "{}__operator=not_null",
        "{}[]=x",
    ],
)
def test_hidden_columns_can_be_neither_sorted_nor_filtered_by(
    reader: Visitor, query: str, column: str
) -> None:
    for path in ("users/", "users/count/"):
        if "__visible" in query and "count" in path:
            continue
        refused = reader.get(f"{API}{path}?{query.format(column, column)}")
        assert refused.status_code == 400


def test_no_column_of_another_table_is_joined(reader: Visitor) -> None:
    for name in ("user_id.email", "user_id.password_hash", "user_id.organization_id.name"):
        for query in ("__visible_fields", "__order"):
            assert reader.get(f"{API}alerts/?{query}={name}").status_code == 400
        assert reader.get(f"{API}alerts/?{name}=x").status_code == 400


def test_a_password_is_neither_set_nor_changed(console: Console, ann: Visitor) -> None:
    path = f"users/{ACME.rows['users']}/"
    assert ann.send("PATCH", path, {"password_hash": "$2b$mine"}).status_code == 400
    assert ann.send("PATCH", path, {"first_name": "c", "password": "mine"}).status_code == 400
    new = {"email": "n@acme.example", "first_name": "a", "last_name": "b", "role": "viewer"}
    added = ann.send("POST", "users/", new | {"password_hash": "$2b$mine", "password": "mine"})
    assert added.status_code == 201
    hashes = dict(console.query("SELECT email, password_hash FROM users WHERE email LIKE '%acme%'"))
    # "!" is the hash of no password: the user has to be given one in the product.
    assert hashes == {"user@acme.example": PRODUCT_HASH, "n@acme.example": "!"}


def test_of_an_organization_the_name_and_the_settings_may_be_changed(
    console: Console, ann: Visitor
) -> None:
    path = f"organizations/{ACME.id}/"
    [whole] = ann.rows("organizations")
    assert ann.send("PATCH", path, {"name": "Acme Inc."}).status_code == 200
    assert ann.send("PATCH", path, {"settings": '{"a": 1}'}).status_code == 200
    before = everything_of(console, ACME)
    for change in (
        {"subdomain": "free"},
        {"is_active": False},
        {"subscription_tier": "enterprise"},
        {"max_users": 1_000_000},
        {"name": "Acme", "max_users": 1_000_000},
        {"created_at": "2000-01-01T00:00:00Z"},
    ):
        assert ann.send("PATCH", path, change).status_code == 422
        assert ann.send("PUT", path, whole | change).status_code == 405
    assert ann.send("DELETE", path, None).status_code == 422
    added = ann.send("POST", "organizations/", whole | {"subdomain": "free"})
    taken = ann.send("POST", "organizations/", whole | {"subdomain": "bravo"})
    assert added.status_code == taken.status_code == 422
    assert added.json() == taken.json(), "nobody is told which subdomains are taken"
    assert everything_of(console, ACME) == before
    assert console.value("SELECT count(*) FROM organizations WHERE subdomain = 'free'") == 0


def test_rows_are_removed_one_by_one(console: Console, ann: Visitor) -> None:
    before = everything_of(console, ACME)
    for table in TABLES:
        for query in ("", f"?id={ACME.rows[table]}", "?__page=1"):
            assert ann.send("DELETE", f"{table}/{query}", None).status_code == 405
    assert everything_of(console, ACME) == before
    assert ann.send("DELETE", f"alerts/{ACME.rows['alerts']}/", None).status_code == 204
    assert ann.rows("alerts") == []


def test_there_are_a_thousand_rows_on_a_page_at_the_most(reader: Visitor) -> None:
    assert reader.get(f"{API}partners/?__page_size=1000").status_code == 200
    assert reader.get(f"{API}partners/?__page_size=1001").status_code == 403


def test_the_documentation_of_the_api_is_not_there(reader: Visitor) -> None:
    """Its scripts come from elsewhere."""
    for part in ("api", "public"):
        for path in ("docs/", "docs/x", "openapi.json"):
            assert reader.get(f"/console/{part}/{path}").status_code == 404
