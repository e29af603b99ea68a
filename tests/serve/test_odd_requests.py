"""What is no request of a person's is refused, and changes nothing."""

import json
from typing import Any

from tests.serve.organizations import ACME
from tests.serve.visitors import API, Console, Visitor, everything_of

HUGE = "9" * 30
ODD_QUERIES = [
    f"__page={HUGE}",
    "__page=1&__page=2",
    "__page=x",
    "__page_size=-1",
    f"__page_size={HUGE}",
    "__page_size=1&__page_size=2",
    "__order=",
    "__order=-",
    "__order=nosuch",
    "__order=id.name",
    "__visible_fields=",
    "__visible_fields=nosuch",
    "__readable=perhaps",
    "__range_header=true&__range_header_name=%0d%0aSet-Cookie: a",
    "__range_header=true&__range_header_name=%e2%82%ac",
    "id=nouuid",
    "id[]=nouuid",
    "id__operator=odd",
    "id__operator=e&id__operator=ne",
    f"relationship_health={HUGE}",
    "relationship_health=3000000000",
    "relationship_health=x",
    "relationship_health=1&relationship_health=2",
    "relationship_health[]=x",
    "created_at=nodate",
    "created_at=99999-01-01",
    "created_at[]=x",
    "commission_structure=nojson",
    "name=%00",
    "name[]=a&name[]=b",
    "name__match=odd",
    "nosuch=1",
    "__class__=1",
    "=1",
    "[]=1",
]


def test_an_odd_question_is_refused(reader: Visitor) -> None:
    wrong = {
        query: answer.status_code
        for query in ODD_QUERIES
        if not 400 <= (answer := reader.get(f"{API}partners/?{query}")).status_code < 500
    }
    assert wrong == {}
    for query in ("limit=-1", f"limit={HUGE}", "limit=x", "limit=1&offset=-1", "search=%00"):
        refused = reader.get(f"{API}partners/ids/?{query}")
        assert 400 <= refused.status_code < 500
    for odd in ("nouuid", "%00", HUGE, "x" * 5000, "é", "'", "%2e%2e"):
        assert reader.get(f"{API}partners/{odd}/").status_code in {400, 404}


ODD_FACTS: list[dict[str, Any]] = [
    {"name": None},
    {"name": "\0"},
    {"name": "x" * 256},
    {"name": ["a"]},
    {"relationship_health": 10**20},
    {"relationship_health": 3_000_000_000},
    {"relationship_health": 101},
    {"relationship_health": 1.5},
    {"relationship_health": "x"},
    {"created_at": "x"},
    {"created_at": 1e300},
    {"created_at": "9999-12-31T23:59:59-14:00"},
    {"commission_structure": "{"},
    {"commission_structure": "NaN"},
    {"commission_structure": '"\\u0000"'},
    {"commission_structure": {"a": 1}},
    {"commission_structure": "[" * 5000 + "]" * 5000},
    {"commission_structure": "1" * 5000},
    {"nosuch": 1},
    {"__class__": 1},
    {"__doc__": "x"},
    {"model_config": {}},
    {"save": 1},
    {"id": "x"},
]
ODD_BODIES = [
    *(
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"relationship_health": NaN}',
        b'{"relationship_health": Infinity}',
        b'{"relationship_health": 1e400}',
        b'{"relationship_health": ' + b"9" * 5000 + b"}",
    ),
    *(json.dumps(each).encode() for each in ODD_FACTS),
]


def test_an_odd_change_is_refused_and_changes_nothing(console: Console, ann: Visitor) -> None:
    before = everything_of(console, ACME)
    partner = f"partners/{ACME.rows['partners']}/"
    wrong: dict[str, Any] = {}
    for body in ODD_BODIES:
        for method, path in (("PATCH", partner), ("POST", "partners/")):
            answer = ann.ask(method, API + path, body, {"Content-Type": "application/json"})
            if not 400 <= answer.status_code < 500:
                wrong[f"{method} {body[:60]!r}"] = answer.status_code
    assert wrong == {}
    assert everything_of(console, ACME) == before


def test_a_refusal_does_not_repeat_the_request(reader: Visitor) -> None:
    refused = reader.send("POST", "users/", {"email": ["a secret"], "role": 1})
    assert refused.status_code == 422
    assert {"loc": ["body", "first_name"], "msg": "Field required"} in refused.json()["detail"]
    assert "a secret" not in refused.text
