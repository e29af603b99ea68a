"""What the migrations build, and what the table classes build, on scratch databases."""

import asyncio

import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Column
from partman.catalog.render import lines
from partman.errors import BuildFailedError
from partman.migration.ledger.files import migration_files
from partman.migration.verification.rebuild import catalog_of_classes, catalog_of_migrations
from partman.settings import Settings
from partman.tables import Partner
from tests.catalog import read
from tests.project import Project
from tests.support import MIGRATIONS, Database, execute


@pytest.fixture
def settings(template: Database) -> Settings:
    """Those of the server that the tests run on, where the roles are."""
    return Settings.load(template.environment)


async def test_the_table_classes_build_what_the_migrations_build(settings: Settings) -> None:
    """A change of a class, or of its extras, without a migration fails here."""
    expected, found = await catalog_of_classes(settings), await catalog_of_migrations(settings)
    assert "\n".join(lines(compare(expected, found))) == ""
    assert len(expected.of(Column)) > 60


async def test_migrations_build_what_is_in_a_migrated_database(
    settings: Settings, template: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    built = await catalog_of_migrations(settings)
    assert capsys.readouterr() == ("", "")
    live = await asyncio.to_thread(read, template.url)
    assert built == live


async def test_only_the_named_migrations_are_run_also_when_an_older_one_is_not_among_them(
    settings: Settings,
) -> None:
    first, indexes, data = migration_files()[:3]
    without_indexes = await catalog_of_migrations(settings, {file.key for file in (first, data)})
    with_indexes = await catalog_of_migrations(
        settings, {file.key for file in (first, indexes, data)}
    )
    differences = compare(with_indexes, without_indexes)
    assert {difference.reference.kind for difference in differences} == {"index"}
    assert len(differences) == 7
    assert [file.id for file in (first, indexes, data)] == list(MIGRATIONS[:3])


async def test_a_class_that_cannot_be_built_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Partner, "extras", ("CREATE INDEX wrong ON partners (no_such_column)",))
    with pytest.raises(BuildFailedError, match=r"no_such_column.*CREATE INDEX wrong"):
        await catalog_of_classes(settings)


def test_a_failure_on_a_scratch_database_says_so(
    project: Project,
) -> None:
    """And not to have failed on the database that the command was about."""
    project.write("2026-01-01", ["CREATE TABLE one (id int)"])
    assert project.forwards().code == 0
    # Only on a database without this schema.
    project.write("2026-01-02", ["CREATE TABLE elsewhere.two (id int)"])
    execute(project.database.url, "CREATE SCHEMA elsewhere")
    assert project.forwards().code == 0
    completed = project.partman("drift")
    assert completed.code == 1
    assert 'On a scratch database: schema "elsewhere" does not exist' in completed.stderr
