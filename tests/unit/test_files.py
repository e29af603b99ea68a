"""Migrations are found without importing them, and without Piccolo where it can be."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.migration.ledger import files
from partman.migration.ledger.files import App, MigrationFile, find_migration_file, migration_files
from partman.migration.ledger.identity import MigrationKey

LITERAL_CONF = 'DB = engine()\nAPP_REGISTRY = AppRegistry(apps=["shop.piccolo_app"])\n'
LITERAL_APP = 'APP_CONFIG = AppConfig(app_name="shop", migrations_folder_path=FOLDER)\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one app, which nobody can import: it does not even run."""
    (tmp_path / "shop_conf.py").write_text(LITERAL_CONF)
    folder = tmp_path / "shop" / "piccolo_migrations"
    folder.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "piccolo_app.py").write_text(LITERAL_APP)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PICCOLO_CONF", "shop_conf")
    files._by_key.cache_clear()
    yield tmp_path
    files._by_key.cache_clear()
    for name in [name for name in sys.modules if name.startswith("shop")]:
        del sys.modules[name]


def write(project: Path, name: str, text: str) -> Path:
    path = project / "shop" / "piccolo_migrations" / name
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[App]:
    """What Piccolo says when it is asked, which is nothing of the files."""
    said = [App("according to piccolo", Path())]
    monkeypatch.setattr(files, "_apps_according_to_piccolo", lambda: said)
    return said


def test_apps_that_are_written_as_literals_are_read(project: Path, asked: list[App]) -> None:
    assert files.registered_apps() == [App("shop", project / "shop" / "piccolo_migrations")]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("shop_conf.py", "APPS = []\nAPP_REGISTRY = AppRegistry(apps=APPS)\n"),
        ("shop_conf.py", 'APP_REGISTRY = AppRegistry(apps=["shop." + "piccolo_app"])\n'),
        ("shop_conf.py", 'APP_REGISTRY = AppRegistry(["shop.piccolo_app"])\n'),
        ("shop_conf.py", "from elsewhere import APP_REGISTRY\n"),
        ("shop_conf.py", 'APP_REGISTRY = AppRegistry(apps=["nowhere"])\n'),
        ("shop/piccolo_app.py", "APP_CONFIG = AppConfig(app_name=NAME)\n"),
        ("shop/piccolo_app.py", "from elsewhere import APP_CONFIG\n"),
    ],
)
def test_apps_that_are_computed_are_asked_for_through_piccolo(
    project: Path, asked: list[App], file: str, text: str
) -> None:
    (project / file).write_text(text)
    assert files.registered_apps() == asked


def test_an_app_with_its_migrations_elsewhere_is_asked_for_through_piccolo(
    project: Path, asked: list[App]
) -> None:
    (project / "shop" / "piccolo_migrations").rename(project / "shop" / "changes")
    assert files.registered_apps() == asked


def test_piccolo_and_the_files_agree_about_this_project() -> None:
    assert files._apps_according_to_piccolo() == files.registered_apps()


def test_migrations_come_in_the_order_of_their_ids(project: Path) -> None:
    write(project, "a.py", 'ID = "2"\nDESCRIPTION = "the second"\n')
    path = write(project, "b.py", "ID='1'\nDESCRIPTION = ''\n")
    assert [file.id for file in migration_files()] == ["1", "2"]
    assert find_migration_file(MigrationKey("shop", "1")) == MigrationFile("shop", "1", "", path)
    assert find_migration_file(MigrationKey("shop", "3")) is None
    assert find_migration_file(MigrationKey("other", "1")) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ID = "1"\nDESCRIPTION = "it\'s wide"\n', ("1", "it's wide")),
        ("DESCRIPTION = 'first'\nVERSION = '9'\nID = '1'\n", ("1", "first")),
        ("ID  =  '1'   \n", ("1", "")),
        ("# ID = '0'\nID = '1'\n", ("1", "")),
        ("    ID = '0'\nID = '1'\n", ("1", "")),
        ("MY_ID = '0'\nID = '1'\n", ("1", "")),
        ("ID = '1'\r\nDESCRIPTION = 'a'\r\n", ("1", "a")),
    ],
)
def test_id_and_description_are_read_from_the_text(
    project: Path, text: str, found: tuple[str, str]
) -> None:
    write(project, "a.py", text)
    [file] = migration_files()
    assert (file.id, file.description) == found


@pytest.mark.parametrize("text", ["", "ID = make()\n", "IDS = '1'\n", "print(\n"])
def test_a_file_without_an_id_is_no_migration(project: Path, text: str) -> None:
    write(project, "helper.py", text)
    assert migration_files() == []
