"""An export has what the database has, and nothing that a spreadsheet would run."""

import csv
import io

from tests.serve.organizations import ACME
from tests.serve.visitors import ROWS, Console, Visitor

RUN = [f"{first}1+1" for first in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"] + [
    '=HYPERLINK("http://evil.example";"click")',
    "-1+cmd|'/C calc'!A0",
    "+41 44 668 18 00",
    "--1",
    "-",
    "-1\n",
    "-\u0661",
    "-1 day, 0:00:00",
]
"""What begins as a formula does."""
PLAIN = ["-5", "+41446681800", "-0.50", "-1E-7", "a=1", "'=1", " =1", "", "1-2", 'a"b;=1', "x\ty"]
"""What does not, and numbers."""


def test_no_cell_of_an_export_is_a_formula(console: Console, ann: Visitor) -> None:
    for stored in (*RUN, *PLAIN):
        console.query("UPDATE alerts SET title = $1", stored)
        [row] = exported(ann, "alerts")
        assert row["title"] == (f"'{stored}" if stored in RUN else stored)


def test_a_number_of_an_export_stays_a_number(console: Console, ann: Visitor) -> None:
    console.query("UPDATE organizations SET max_users = -5, name = '=1' WHERE id = $1", ACME.id)
    [row] = exported(ann, "organizations")
    assert (row["max_users"], row["name"]) == ("-5", "'=1")


def test_each_cell_of_an_export_is_in_quotes(ann: Visitor) -> None:
    """As OWASP advises: it is clear where one begins and ends."""
    for line in ann.get(f"{ROWS}partners.csv").text.splitlines():
        assert line.startswith('"')
        assert line.endswith('"')


def exported(visitor: Visitor, table: str) -> list[dict[str, str]]:
    answer = visitor.get(f"{ROWS}{table}.csv")
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))
