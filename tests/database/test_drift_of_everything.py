"""Many changes by hand at once, and the SQL that brings the schema back in one round."""

import asyncio
import contextlib

import asyncpg
import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import lines
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.same_expressions import write_alike
from partman.migration.verification.tried_remedy import TriedRemedy, try_remedy
from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from partman.settings import Settings
from tests.catalog import read
from tests.database.catalog_sample import CHANGES, SAMPLE
from tests.psql import run_script
from tests.summary import thorough
from tests.support import Database, execute, server_url

PARTS = 6
# What takes all the others with it is left out.
KEPT = [change.sql for change in CHANGES if "CASCADE" not in change.sql]
ISOLATION = Isolation(frozenset(("PUBLIC", "partman_app")))


def change(database: Database, statements: list[str]) -> int:
    """Run what can be run after the others; return how many could."""
    done = 0
    for statement in statements:
        with contextlib.suppress(asyncpg.PostgresError):
            execute(database.url, f"BEGIN; {statement}; COMMIT")
            done += 1
    return done


async def tried(expected: Catalog, found: Catalog) -> tuple[Catalog, TriedRemedy]:
    scratch = Settings.load({"DATABASE_URL": server_url()})
    written = await write_alike(scratch, expected, found)
    remedy = await try_remedy(scratch, expected, written.found, ISOLATION, written.expected_copy)
    return written.found, remedy


@pytest.mark.parametrize("part", range(PARTS if thorough() else 1))
def test_it_is_brought_back_in_one_round(empty_database: Database, part: int) -> None:
    execute(empty_database.url, ROLES, *SAMPLE)
    expected = read(empty_database.url)
    statements = KEPT[part::PARTS]
    assert change(empty_database, statements) > len(statements) * 2 / 3
    found, remedy = asyncio.run(tried(expected, read(empty_database.url)))
    assert len(compare(expected, found)) > 10
    printed = "".join(f"{statement.sql};\n" for statement in remedy.statements)
    ended = run_script(empty_database.url, f"\\set ON_ERROR_STOP on\n{printed}")
    assert (ended.returncode, ended.stderr) == (0, "")
    after, again = asyncio.run(tried(expected, read(empty_database.url)))
    by_hand = {each.reference for each in remedy.by_hand}
    left = {each.reference for each in compare(expected, after)}
    assert left <= by_hand, "\n".join(lines(compare(expected, after)))
    assert again.statements == ()
