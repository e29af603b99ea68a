"""A package that is loaded only when something of it is used."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from partman.deferred import load_when_used
from tests.unit.imports import as_it_was

pytestmark = pytest.mark.same_on_every_version

NAME = "package_of_the_test"

Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs code, and returns its names; the package is to be loaded when it is used."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("value = 1\n")
    (folder / "inner.py").write_text("value = 2\n")
    code = tmp_path / "code.py"

    def run_code(text: str) -> dict[str, Any]:
        code.write_text(text)
        return runpy.run_path(str(code))

    with as_it_was():
        sys.path.insert(0, str(tmp_path))
        load_when_used(NAME)
        yield run_code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"import {NAME} as it; found = it.value", 1),
        (f"from {NAME} import value as found", 1),
        (f"import {NAME}.inner as it; found = it.value", 2),
        (f"import {NAME}; import {NAME}.inner; found = {NAME}.inner.value", 2),
        (f"from {NAME}.inner import value as found", 2),
        (f"from {NAME} import inner; found = inner.value", 2),
        (f"import {NAME} as it; it.value; import {NAME} as again; found = again.value", 1),
    ],
)
def test_whatever_is_used_of_it_is_there(run: Run, code: str, expected: int) -> None:
    assert run(code)["found"] == expected
    assert vars(sys.modules[NAME])["value"] == 1


def test_to_import_it_does_not_load_it(run: Run) -> None:
    run(f"import {NAME}")
    load_when_used(NAME)
    run(f"import {NAME}")
    assert "value" not in vars(sys.modules[NAME])


def test_what_is_loaded_stays_and_what_there_is_not_is_missing(run: Run) -> None:
    load_when_used("pytest")
    assert sys.modules["pytest"] is pytest
    load_when_used(f"{NAME}_is_not_there")
    assert f"{NAME}_is_not_there" not in sys.modules
    with pytest.raises(ImportError, match="missing"):
        run(f"from {NAME} import missing")
    with pytest.raises(AttributeError, match="missing"):
        run(f"import {NAME}; {NAME}.missing")
