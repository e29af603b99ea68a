"""Apps and migrations are what Piccolo says, and Piccolo is imported only where it has to be."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from partman.errors import PreflightError, ProjectError
from partman.migration.ledger import files
from partman.migration.ledger.files import (
    App,
    MigrationFile,
    find_migration_file,
    import_migrations,
    migration_files,
    registered_apps,
)
from partman.migration.ledger.identity import MigrationKey
from tests.unit.imports import as_it_was
from tests.unit.migration_statements import PLAIN

CONF = """\
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
DB = PartmanEngine()
APP_REGISTRY = AppRegistry(apps={apps!r})
"""
APP = """\
from pathlib import Path
from piccolo.conf.apps import AppConfig
APP_CONFIG = AppConfig(
    app_name={name!r},
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    migration_dependencies={needed!r},
)
"""
FORWARDS = "\n\nasync def forwards():\n    return None\n"

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in the current folder: a shop that needs a blog."""
    (tmp_path / "shop_conf.py").write_text(CONF.format(apps=["shop.piccolo_app"]))
    add_app(tmp_path, "shop", ["blog.piccolo_app"])
    add_app(tmp_path, "blog")
    monkeypatch.chdir(tmp_path)
    files.look_again()
    with as_it_was():
        sys.path.insert(0, str(tmp_path))
        os.environ["PICCOLO_CONF"] = "shop_conf"
        yield tmp_path
    files.look_again()


def add_app(folder: Path, name: str, needed: list[str] | None = None) -> None:
    migrations = folder / name / "piccolo_migrations"
    migrations.mkdir(parents=True)
    (migrations / "__init__.py").touch()
    (folder / name / "piccolo_app.py").write_text(APP.format(name=name, needed=needed or []))


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file into the folder of the shop's migrations."""

    def put(name: str, text: str | bytes) -> Path:
        path = folder / "shop" / "piccolo_migrations" / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return put


@pytest.fixture
def no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if Piccolo is asked."""

    def asked(*_: object) -> None:
        raise AssertionError("Piccolo was asked")

    monkeypatch.setattr(files, "_apps_according_to_piccolo", asked)
    monkeypatch.setattr(files, "_according_to_piccolo", asked)


def ids() -> list[str]:
    return [file.id for file in migration_files()]


def said(error: pytest.ExceptionInfo[Exception]) -> str:
    """What the error says, which has to be one line."""
    [line] = str(error.value).splitlines()
    return line


# Apps


@pytest.mark.usefixtures("no_import")
def test_apps_come_in_the_order_in_which_piccolo_runs_them(folder: Path) -> None:
    assert registered_apps() == [
        App("blog", str(folder / "blog" / "piccolo_migrations")),
        App("shop", str(folder / "shop" / "piccolo_migrations")),
    ]


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize("apps", [["blog", "shop"], ["shop", "blog"]])
def test_whatever_the_order_in_which_they_are_registered(folder: Path, apps: list[str]) -> None:
    registered = [f"{app}.piccolo_app" for app in apps]
    (folder / "shop_conf.py").write_text(CONF.format(apps=registered))
    assert [app.name for app in registered_apps()] == ["blog", "shop"]


@pytest.mark.usefixtures("no_import")
def test_this_projects_apps_and_migrations_are_read_without_an_import() -> None:
    assert [app.name for app in registered_apps()] == ["partman"]
    assert len(migration_files()) >= 7


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize(
    "module",
    ["piccolo.apps.user", "piccolo_api.session_auth", "piccolo_api.token_auth"],
)
def test_third_party_apps_are_read_without_an_import(folder: Path, module: str) -> None:
    (folder / "shop_conf.py").write_text(CONF.format(apps=[f"{module}.piccolo_app"]))
    assert module.rpartition(".")[2] in [app.name for app in registered_apps()]
    assert all(file.app != "shop" for file in migration_files())


def test_two_apps_of_one_name_are_handled_as_by_piccolo(folder: Path) -> None:
    add_app(folder, "again")
    for app, name, needed in (
        ("again", "blog", []),
        ("shop", "shop", ["blog.piccolo_app", "again.piccolo_app"]),
    ):
        (folder / app / "piccolo_app.py").write_text(APP.format(name=name, needed=needed))
    assert registered_apps() == [
        App("blog", str(folder / "again" / "piccolo_migrations")),
        App("shop", str(folder / "shop" / "piccolo_migrations")),
    ]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("shop_conf.py", "import nothing_like_it", "ModuleNotFoundError: No module named"),
        ("shop_conf.py", "raise SystemExit('enough')", "SystemExit: enough"),
        ("shop_conf.py", "x = (", "SyntaxError: '(' was never closed"),
        ("shop_conf.py", "x = 'caf\xe9'", "SyntaxError: (unicode error) 'utf-8' codec"),
        ("shop_conf.py", "DB = None", "has no attribute 'APP_REGISTRY'"),
        ("shop/piccolo_app.py", "x = 1 / 0", "ZeroDivisionError: division by zero"),
        ("shop/piccolo_app.py", "APP_CONFIG = (", "SyntaxError: '(' was never closed"),
        ("shop/piccolo_app.py", "x = 1", "has no attribute 'APP_CONFIG'"),
        ("blog/piccolo_app.py", "import nothing_like_it", "No module named 'nothing_like_it'"),
    ],
)
def test_a_failed_import_is_one_line_with_the_reason(
    folder: Path, file: str, text: str, reason: str
) -> None:
    (folder / file).write_text(text, "latin-1")
    with pytest.raises(ProjectError) as refused:
        registered_apps()
    assert reason in said(refused)
    if "attribute" not in reason:
        assert str(folder / file) in said(refused)


def test_apps_that_need_each_other_are_one_line(folder: Path) -> None:
    (folder / "blog" / "piccolo_app.py").write_text(
        APP.format(name="blog", needed=["shop.piccolo_app"])
    )
    with pytest.raises(ProjectError) as refused:
        registered_apps()
    assert "RecursionError" in said(refused)


# Files


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize("assignment", PLAIN)
def test_a_plain_id_is_read_without_an_import(write: Write, assignment: str) -> None:
    write("a.py", assignment + FORWARDS)
    [found] = ids()
    assert found.startswith("2026")


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize(
    "code",
    [
        b"\xef\xbb\xbfID = '1'\nDESCRIPTION = 'caf\xc3\xa9'\n",
        b"# coding: latin-1\nID = '1'\nDESCRIPTION = 'caf\xe9'\n",
        b"ID = '1'\r\nDESCRIPTION = 'caf\xc3\xa9'\r\n",
        b"ID = '1'\rDESCRIPTION = 'caf\xc3\xa9'\r",
        b"DESCRIPTION = 'caf\xc3\xa9'\nVERSION = '9'\nID = '1'",
    ],
)
def test_encodings_and_ends_of_lines_are_pythons(write: Write, code: bytes) -> None:
    path = write("a.py", code)
    [file] = migration_files()
    assert file == MigrationFile("shop", "1", "caf\xe9", path)
    assert file.checksum


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("ID = make()\n", None),
        ("ID = ''.join(['1'])\n", ("1", "")),
        ("if True:\n    ID = '1'\nDESCRIPTION = None\n", ("1", "")),
        ("ID, DESCRIPTION = '1', 'a'\n", ("1", "a")),
        ("ID = '1'\nDESCRIPTION = 'a' * 3\n", ("1", "aaa")),
        ("ID = '1'\nID += '-b'\n", ("1-b", "")),
        ("VERSION = '1'\n", ("", "")),
    ],
)
def test_an_id_that_is_computed_is_asked_of_piccolo(
    write: Write, code: str, found: tuple[str, str] | None
) -> None:
    path = write("a.py", code)
    if found is None:
        with pytest.raises(PreflightError) as refused:
            migration_files()
        assert f"{path} cannot be read: NameError: name 'make' is not defined (line 1)" in said(
            refused
        )
    else:
        read = [(file.id, file.description) for file in migration_files()]
        assert read == ([found] if found[0] else [])


@pytest.mark.usefixtures("no_import")
def test_migrations_come_app_by_app_in_the_order_of_their_ids(folder: Path, write: Write) -> None:
    write("b.py", "ID = '1'\n")
    write("a.py", "ID = '2'\n")
    (folder / "blog" / "piccolo_migrations" / "c.py").write_text("ID = '3'\n")
    assert ids() == ["3", "1", "2"]
    found = find_migration_file(MigrationKey("shop", "2"))
    assert found is not None
    assert found.path.name == "a.py"
    assert find_migration_file(MigrationKey("shop", "3")) is None


@pytest.mark.usefixtures("no_import")
@pytest.mark.parametrize("text", ["", "IDS = '1'\n", "ID = ''\n", "ID: str\n", "# ID = '1'\n"])
def test_a_file_without_an_id_is_no_migration(write: Write, text: str) -> None:
    write("helper.py", text)
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("a.py", b"ID = '1'\nx = (\n", "SyntaxError: '(' was never closed (line 2)"),
        ("a.py", b"ID = 'caf\xe9'\n", "SyntaxError: (unicode error) 'utf-8' codec"),
        ("a.py", b"# coding: nothing\nID = '1'\n", "SyntaxError: unknown encoding: nothing"),
        ("a.py", b"ID = '1'\nx = '\0'\n", "null bytes"),
        ("a.py", b"ID = 1\n", "is 1, which is not a text"),
        ("a.py", b"import nothing_like_it\nID = str(1)\n", "No module named 'nothing_like_it'"),
        ("a.py", b"ID = str(1)\nraise SystemExit\n", "SystemExit"),
        ("a.b.py", b"ID = '1'\n", "ModuleNotFoundError: No module named 'a"),
        ("x.py.py", b"ID = '1'\n", "ModuleNotFoundError: No module named 'x'"),
        (".#a.py", b"ID = '1'\n", "TypeError"),
        ("json.py", b"ID = '1'\n", "Piccolo does not import"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_that_names_it(
    write: Write, name: str, code: bytes, reason: str
) -> None:
    path = write(name, code)
    with pytest.raises(PreflightError) as refused:
        migration_files()
    assert str(path) in said(refused)
    assert reason in said(refused)
    assert "Nothing was run." in said(refused)


@pytest.mark.usefixtures("no_import")
def test_what_only_the_compiler_refuses_is_one_line_that_names_it(write: Write) -> None:
    """As Piccolo's import refuses it; its ID and its checksum can be read."""
    path = write("a.py", "ID = '1'\n\n\nasync def forwards():\n    break\n")
    [file] = migration_files()
    assert file.read_sums() == (file.checksum, file.digest)
    with pytest.raises(PreflightError) as refused:
        file.compile()
    assert f"{path} cannot be read: SyntaxError: 'break' outside loop" in said(refused)


def test_a_file_that_is_gone_or_a_folder_is_one_line_that_names_it(
    folder: Path, write: Write
) -> None:
    migrations = folder / "shop" / "piccolo_migrations"
    (migrations / "gone.py").symlink_to(migrations / "nowhere.py")
    with pytest.raises(PreflightError) as refused:
        migration_files()
    assert str(migrations / "gone.py") in said(refused)
    (migrations / "gone.py").unlink()
    (migrations / "folder.py").mkdir()
    with pytest.raises(PreflightError) as refused:
        migration_files()
    assert str(migrations / "folder.py") in said(refused)


def test_a_suffix_twice_is_the_file_that_piccolo_imports_for_it(write: Write) -> None:
    path = write("x.py", "ID = '1'\n")
    write("x.py.py", "ID = '2'\n")
    assert [file.path for file in migration_files()] == [path]


def test_a_folder_that_is_missing_is_one_line_that_names_the_app(folder: Path) -> None:
    (folder / "shop" / "piccolo_migrations" / "__init__.py").unlink()
    (folder / "shop" / "piccolo_migrations").rmdir()
    with pytest.raises(PreflightError) as refused:
        migration_files()
    assert "The migrations of the app shop cannot be listed" in said(refused)


def test_one_name_in_two_apps_is_refused_because_piccolo_confuses_them(
    folder: Path, write: Write
) -> None:
    write("initial.py", "ID = '1'\n")
    (folder / "blog" / "piccolo_migrations" / "initial.py").write_text("ID = '2'\n")
    with pytest.raises(PreflightError) as refused:
        migration_files()
    assert "The apps blog and shop both have a migration file initial.py" in said(refused)


@pytest.mark.parametrize("form", ['"shop/piccolo_migrations"', "os.path.join('shop', 'changes')"])
def test_a_folder_may_be_relative(folder: Path, write: Write, form: str) -> None:
    app = (
        f"import os\nfrom piccolo.conf.apps import AppConfig as C\nAPP_CONFIG = C('shop', {form})\n"
    )
    (folder / "shop" / "changes").mkdir()
    (folder / "shop" / "piccolo_app.py").write_text(app)
    write("a.py", "ID = '1'\n")
    (folder / "shop" / "changes" / "a.py").write_text("ID = '1'\n")
    [file] = migration_files()
    assert not file.path.is_absolute()
    assert file.digest


def test_a_failing_import_is_named_before_a_run(write: Write) -> None:
    path = write("a.py", "ID = '1'\nfrom nothing_like_it import x\n" + FORWARDS)
    assert ids() == ["1"]
    with pytest.raises(PreflightError) as refused:
        import_migrations()
    assert f"{path} cannot be read: ModuleNotFoundError" in said(refused)
    assert str(path.parent) not in sys.path
