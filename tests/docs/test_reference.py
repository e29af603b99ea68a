"""The reference matches the code."""

import ast
import re
from types import ModuleType

import pytest

from tests.docs import generate, rooms_picture, schema
from tests.docs.markdown import Document, documents
from tests.support import ROOT

VARIABLE = re.compile(r"PARTMAN_[A-Z_]+|DATABASE_URL")


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_generated_parts_are_up_to_date(document: Document) -> None:
    assert generate.brought_up_to_date(document) == document.text, "type: make docs"


@pytest.mark.parametrize("drawn", [schema, rooms_picture])
def test_the_pictures_are_up_to_date(drawn: ModuleType) -> None:
    assert drawn.picture() == drawn.PICTURE.read_text("utf-8"), "type: make docs"


def test_every_generated_part_is_in_a_document() -> None:
    text = "".join(document.text for document in documents())
    missing = [name for name in generate.GENERATED if f"<!-- generated: {name} -->" not in text]
    assert missing == []


def test_every_variable_that_the_code_reads_is_documented() -> None:
    read = {
        node.value
        for folder in ("partman", "seeds")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if VARIABLE.fullmatch(node.value)
    }
    documented = set(re.findall(r"^\| `(\w+)`", generate.variables(), re.MULTILINE))
    assert read - {"PARTMAN_CONFIG"} == documented  # that one is a name in piccolo_app.py


def test_every_exit_code_has_its_place_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    codes = re.findall(r"^\| (\d+) \|", generate.exit_codes(), re.MULTILINE)
    table = re.findall(r"^\| (\d+) \|", runbook, re.MULTILINE)
    assert [code for code in codes if code not in {"0", "2"}] == table
