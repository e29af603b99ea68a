"""What is read of a migration's file is what Piccolo says that has imported it.

Files are drawn in all the forms that Python allows. To read one may end in NotReadableError, and
then Piccolo is asked; of which forms it must not, test_sources.py says.
"""

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from piccolo.apps.migrations.commands.base import BaseMigrationManager

from partman.errors import PreflightError
from partman.migration.ledger.files import MigrationFile
from partman.sources import NotReadableError
from partman.sources.migrations import read_migration
from tests.unit.imports import as_it_was
from tests.unit.migration_statements import FORWARDS, ODD, PLAIN

_number = itertools.count()

many = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


ENCODINGS = [
    *[("", "utf-8")] * 5,
    ("", "utf-8-sig"),
    ("# coding: latin-1\n", "latin-1"),
    ("# -*- coding: utf-7 -*-\n", "utf-7"),
    ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n", "cp1252"),
    ("", "latin-1"),
    ("", "utf-16"),
    ("# coding: nothing-like-it\n", "utf-8"),
]


@st.composite
def migrations(draw: st.DrawFn) -> bytes:
    """A migration's file: in any order, encoding and form of lines."""
    some = st.lists(st.sampled_from([*PLAIN, *ODD]), max_size=2)
    plain, forwards = draw(st.sampled_from(PLAIN)), draw(st.sampled_from(FORWARDS))
    text = "\n".join([*draw(some), plain, *draw(some), forwards, *draw(some)])
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])))
    cookie, encoding = draw(st.sampled_from(ENCODINGS))
    return (cookie + text + draw(st.sampled_from(["\n", ""]))).encode(encoding, "replace")


def according_to_piccolo(folder: Path) -> tuple[str, str] | BaseException:
    """Return ID and description of the one file in a folder, or why it cannot be imported."""
    with as_it_was():
        try:
            modules = BaseMigrationManager().get_migration_modules(str(folder))
        except (Exception, SystemExit) as error:
            return error
    if not modules:
        return "", ""
    [(found, module)] = modules.items()
    return found, getattr(module, "DESCRIPTION", None) or ""


def compare(folder: Path, code: bytes) -> bool:
    """Whether the file was read; then it has to say what Piccolo says."""
    path = folder / f"drawn_{next(_number)}.py"
    path.write_bytes(code)
    said = according_to_piccolo(folder)
    try:
        read = read_migration(path)
        # As before a run: of what was never run, all of the file is looked at.
        MigrationFile("app", read.id, read.description, path).compile()
    except (NotReadableError, PreflightError):
        return False
    finally:
        path.unlink()
    assert not isinstance(said, SyntaxError | ValueError)
    # What fails while it runs is found when Piccolo imports it, before a run.
    if not isinstance(said, BaseException):
        assert read.id == said[0]
        assert read.description == said[1] or not read.id
    return True


@many
@given(migrations())
def test_a_migration_read_from_source_equals_its_import(
    tmp_path_factory: pytest.TempPathFactory, code: bytes
) -> None:
    compare(tmp_path_factory.mktemp("migrations"), code)


@pytest.mark.parametrize("statement", [*PLAIN, *ODD])
def test_no_statement_makes_another_id_than_the_one_that_is_read(
    tmp_path: Path, statement: str
) -> None:
    plain, forwards = 'ID = "2026-01"', FORWARDS[0]
    for parts in (
        (statement, forwards),
        (plain, statement, forwards),
        (statement, plain, forwards),
        (plain, forwards, statement),
        (plain, forwards, statement, "put()"),
        (plain, statement, "x = put()", forwards),
    ):
        compare(tmp_path, "\n".join(parts).encode("utf-8", "surrogatepass"))
