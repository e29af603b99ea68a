"""What is no request of a person's is refused, and changes nothing."""

import pytest

from partman.serve.console.scope import TENANT
from tests.serve.organizations import ACME
from tests.serve.page import Page
from tests.serve.visitors import FORM, ROWS, Console, Visitor, everything_of

HUGE = "9" * 30
REFUSED_QUERIES = [
    "sort=nosuch",
    "sort=-",
    "sort=--name",
    "sort=id.name",
    "sort=commission_structure",
    "sort=__class__",
    "q=%00",
    "q=%ed%a0%80&name=%00",
    "name=%00",
    "nosuch=1",
    "__class__=1",
    "=1",
    "%5b%5d=1",
    "commission_structure=1",
    "name=1&name.x=1",
]
EMPTY_QUERIES = [
    "id=nouuid",
    f"relationship_health={HUGE}",
    "relationship_health=3000000000",
    "relationship_health=x",
    "relationship_health=NaN",
    "created_at=nodate",
    "created_at=99999-01-01",
    "created_at=9999-12-31T23:59:59-14:00",
    "status=asleep",
    "q=%25",
    "q=_______________________",
    "q=%5c",
    "q=%27%3b--",
    f"q={HUGE}",
    f"q={'r+' * 100}zzz",
]
ODD_KEYS = ("nouuid", "%00", HUGE, "x" * 5000, "é", "'", "%2e%2e", "a/b", "", "{}", "%ed%a0%80")


def test_an_odd_question_is_refused_or_finds_nothing(reader: Visitor) -> None:
    for path in ("partners/", "partners.csv"):
        for query in REFUSED_QUERIES:
            assert reader.get(f"{ROWS}{path}?{query}").status_code == 400, query
    for query in EMPTY_QUERIES:
        assert reader.rows("partners", query) == [], query
        assert "Nothing was found" in reader.get(f"{ROWS}partners/?{query}").text, query
    for key in ODD_KEYS:
        for path in ("row/", "delete/?row=", "?after=", "?before="):
            answer = reader.get(f"{ROWS}partners/{path}{key}")
            found = path.startswith("?") or (path.startswith("delete") and not key)
            expected = {200, 303} if found and key != "%00" else {400, 404}
            assert answer.status_code in expected, path + key


ODD_FIELDS = [
    {"name": ""},
    {"name": "\0"},
    {"name": "x" * 256},
    {"relationship_health": HUGE},
    {"relationship_health": "1.5"},
    {"relationship_health": "\u0661"},
    {"relationship_health": "1e1"},
    {"status": "Active"},
    {"commission_structure": ""},
    {"commission_structure": "{"},
    {"commission_structure": "NaN"},
    {"commission_structure": '"\\u0000"'},
    {"commission_structure": '"\\ud800"'},
    {"commission_structure": "[" * 5000 + "]" * 5000},
    {"commission_structure": "1" * 5000 + "x"},
    {"commission_structure/:root": "nothing"},
    {"commission_structure/:root": "object", "commission_structure/.a:n": "x"},
    {"commission_structure/:root": "object", "commission_structure/.a:n": "NaN"},
    {"commission_structure/:root": "object", "commission_structure/.a:j": "{"},
    {"commission_structure/:root": "object", "commission_structure/.a:?": "1"},
    {"commission_structure/:root": "object", "commission_structure/.a": "1"},
    {"commission_structure/:root": "object", "commission_structure/#x/.a:s": "1"},
    {
        "commission_structure/:root": "object",
        "commission_structure/.a:s": "1",
        "commission_structure/.a/.b:s": "1",
    },
    {"commission_structure/:root": "object", "commission_structure/+value": "1"},
    {"created_at": "2026-01-01T00:00:00"},
    {"updated_at": "2026-01-01T00:00:00"},
    {"id": "x"},
    {"nosuch": "1"},
    {"__class__": "1"},
    {"save": "1"},
    {"": "1"},
    {"/": "1"},
    {"_search": "1"},
]


@pytest.mark.parametrize("sent", ODD_FIELDS, ids=lambda each: str(each)[:60])
def test_an_odd_change_is_refused_and_changes_nothing(
    shared_console: Console, reader: Visitor, sent: dict[str, str]
) -> None:
    before = everything_of(shared_console, ACME)
    edit, add = f"partners/row/{ACME.rows['partners']}", "partners/new/"
    for path in (edit, add):
        fields = {"name": "new", "domain": "new.example"} if path == add else {}
        fields |= {name: value for name, value in reader.fields(path).items() if name[:1] == "_"}
        refused = reader.send_form(ROWS + path, list((fields | sent).items()))
        assert 400 <= refused.status_code < 500, refused.text
        assert Page(refused.text).notices("error")
    assert everything_of(shared_console, ACME) == before


def test_an_odd_body_is_refused_and_changes_nothing(
    shared_console: Console, reader: Visitor
) -> None:
    before = everything_of(shared_console, ACME)
    file = 'form-data; name="name"; filename="f"'
    tenant = f'--x\r\nContent-Disposition: form-data; name="{TENANT}"\r\n\r\n{ACME.id}\r\n'
    multipart = f"{tenant}--x\r\nContent-Disposition: {file}\r\n\r\na\r\n--x--\r\n"
    token = {"X-CSRFToken": reader.cookies["csrftoken"]}
    for body, kind in (
        (b"", FORM["Content-Type"]),
        (b"%00=%ff&\xff=\xfe", FORM["Content-Type"]),
        (b"&" * 100_000, FORM["Content-Type"]),
        (b"{}", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data; boundary=x"),
        (multipart.encode(), "multipart/form-data; boundary=x"),
    ):
        for path in ("partners/new/", f"partners/row/{ACME.rows['partners']}", "alerts/delete/"):
            answer = reader.ask("POST", ROWS + path, body, token | {"Content-Type": kind})
            assert 300 <= answer.status_code < 500, (path, body[:20], answer.text)
    assert everything_of(shared_console, ACME) == before
