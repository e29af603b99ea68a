"""What migrations build is kept as a value, and never used after anything has changed."""

import asyncio
import contextlib
import hashlib
import importlib
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import AsyncMock

import asyncpg
import pytest

from partman.database.embedded.cluster import command_line
from partman.database.explain import CONNECTION_LOST
from partman.migration.ledger.files import migration_files
from partman.migration.verification import build_inputs, built, kept
from partman.migration.verification import drift as drift_module
from partman.migration.verification.drift import find_drift
from partman.migration.verification.rebuild import may_ask_others
from partman.migration.verification.table_classes import compare_models
from partman.settings import Settings
from tests.catalog import reader
from tests.faults.processes import wait_until
from tests.support import (
    Database,
    as_role,
    execute,
    query,
    run_script,
    with_database,
)

Change = Callable[["Builder"], object]


@dataclass
class Builder:
    """Something that is built, and how often it was."""

    settings: Settings
    read: Path
    """A folder whose files a build reads."""
    server: str = ""
    builds: int = 0
    lasts: bool = True
    meanwhile: Callable[[], object] = lambda: None

    async def build(self) -> tuple[int, bool]:
        self.builds += 1
        for name in sorted(os.listdir(self.read)):  # noqa: PTH208 -- as a migration may do it
            (self.read / name).read_text()
        with contextlib.suppress(FileNotFoundError):
            (self.read.parent / "absent.sql").read_text()
        self.meanwhile()
        return self.builds, self.lasts

    def ask(self, *what: object) -> int:
        return asyncio.run(kept.kept(self.settings, what or ("test",), self.build))

    @property
    def files(self) -> list[Path]:
        return sorted((self.settings.data_directory / kept.FOLDER).glob("[!.]*"))


@pytest.fixture
def as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this process for one that has imported nothing of the project yet."""
    monkeypatch.setattr(build_inputs, "_STARTED", float("inf"))  # the files here are new
    monkeypatch.setattr(build_inputs, "unwatched", set())
    monkeypatch.setattr(build_inputs, "_imports", build_inputs.Inputs())


@pytest.fixture
def builder(
    tmp_path: Path, quiet_server: str, as_a_command: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Builder]:
    """Something that was built once by a project with a module, and is kept."""
    # What is kept is elsewhere: an import lists this folder, and would then find it changed.
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    (folder / "at_import.sql").write_text("SELECT 1")
    _import_module(
        folder, "from pathlib import Path\nPath(__file__).with_name('at_import.sql').read_text()"
    )
    settings = Settings.load({"DATABASE_URL": quiet_server})
    yield _asked_once(settings, folder)
    for name in [name for name in sys.modules if name.startswith("module_of_the_test_")]:
        del sys.modules[name]


def _import_module(folder: Path, text: str = "") -> None:
    """Import a new module of the project."""
    name = f"module_of_the_test_{len(list(folder.glob('*.py')))}"
    (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    importlib.import_module(name)


def _asked_once(settings: Settings, folder: Path, server: str = "") -> Builder:
    read = folder / "read"
    read.mkdir()
    (read / "1.sql").write_text("SELECT 1")
    made = Builder(
        replace(settings, data_directory=folder.with_name(f"data of {folder.name}")), read, server
    )
    assert (made.ask(), made.ask()) == (1, 1)
    return made


def test_it_is_kept_for_another_database_of_the_server(builder: Builder, quiet_server: str) -> None:
    another = with_database(quiet_server, "postgres")
    builder.settings = replace(builder.settings, database_url=another)
    assert builder.ask() == 1


def test_what_is_asked_for_anew_is_built_and_kept(builder: Builder) -> None:
    usual, builder.settings = builder.settings, replace(builder.settings, builds_anew=True)
    assert builder.ask() == 2
    builder.settings = usual
    assert builder.ask() == 2


def test_a_look_whether_the_embedded_server_runs_is_not_taken_for_a_file(builder: Builder) -> None:
    before = builder.files
    builder.meanwhile = lambda: command_line(os.getpid())
    assert builder.ask("embedded") == 2
    [file] = {*builder.files} - {*before}
    inputs = pickle.loads(file.read_bytes()[32:]).inputs  # noqa: S301 -- our own
    assert [path for path in inputs if path.startswith("/proc")] == []


CHANGES: dict[str, Change] = {
    "a file is edited": lambda b: (b.read / "1.sql").write_text("SELECT 2"),
    "a file is replaced": lambda b: (b.read / "1.sql").write_text("SELECT 1"),
    "a file is removed": lambda b: (b.read / "1.sql").unlink(),
    "a file is added": lambda b: (b.read / "2.sql").write_text(""),
    "a file that was missing": lambda b: (b.read.parent / "absent.sql").write_text(""),
    "a file of partman": lambda b: os.utime(kept.__file__),
    "a file that a module has read": lambda b: (b.read.parent / "at_import.sql").touch(),
    "a module is imported": lambda b: _import_module(b.read.parent),
    "the locale": lambda b: setattr(
        b,
        "settings",
        replace(b.settings, driver_options={"server_settings": {"TimeZone": "Asia/Tokyo"}}),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_built_anew_after_a_change(change: str, builder: Builder) -> None:
    CHANGES[change](builder)
    assert builder.ask() == 2


def test_another_environment_migration_or_day_is_another_value(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert builder.ask("another") == 2
    monkeypatch.setenv("SHOP_PREFIX", "b")
    assert builder.ask() == 3
    files = migration_files()
    edited = replace(files[-1])
    edited.__dict__["digest"] = "0" * 16
    monkeypatch.setattr(kept, "migration_files", lambda: [*files[:-1], edited])
    assert builder.ask() == 4
    monkeypatch.setattr(kept, "migration_files", lambda: files[:-1])
    assert builder.ask() == 5
    monkeypatch.setattr(kept, "_today", lambda: "tomorrow")
    assert builder.ask() == 6
    monkeypatch.setattr(kept, "__version__", "999")
    assert builder.ask() == 7


def test_commands_with_different_modules_use_the_same_value(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {kept.__file__}, {built.__file__}
    for number, each in enumerate(modules, 2):
        monkeypatch.setattr(build_inputs, "_modules", lambda each=each: each)
        assert builder.ask("theirs") == number
    usual, anew = builder.settings, replace(builder.settings, builds_anew=True)
    for expected in (3, 4):
        for each in modules:
            monkeypatch.setattr(build_inputs, "_modules", lambda each=each: each)
            assert builder.ask("theirs") == expected
        if expected == 3:
            builder.settings = anew
            assert builder.ask("theirs") == 4
            builder.settings = usual


def test_another_server_role_or_template_is_another_value(
    server: str, tmp_path: Path, as_a_command: None
) -> None:
    builder = _asked_once(Settings.load({"DATABASE_URL": server}), tmp_path)
    superuser = as_role(server, "postgres")
    changes = [
        (superuser, "CREATE ROLE other"),
        (superuser, "GRANT other TO partman"),
        (superuser, "ALTER ROLE other CREATEDB"),
        (superuser, "ALTER ROLE partman SET search_path = nowhere"),
        (superuser, "ALTER ROLE partman RESET search_path"),  # as before: the value is right again
        (superuser, "ALTER DATABASE partman SET timezone = 'Asia/Tokyo'"),
        (with_database(superuser, "template1"), "CREATE TABLE in_the_template ()"),
        (with_database(superuser, "template1"), "ALTER TABLE in_the_template RENAME TO renamed"),
        (with_database(superuser, "template1"), "DROP TABLE renamed"),
        (superuser, "ALTER SYSTEM SET extra_float_digits = 0"),
    ]
    expected = 1
    for url, statement in changes:
        execute(url, statement)
        if "SYSTEM" in statement:
            execute(superuser, "SELECT pg_reload_conf()")
        expected += "RESET" not in statement
        asked = builder.ask()
        assert asked == (expected if "RESET" not in statement else expected - 1), statement


def test_a_template_that_was_changed_before_a_crash_is_another_value(
    server: str, tmp_path: Path, as_a_command: None
) -> None:
    """A crash sets the counters back, and the server's start is the same."""
    superuser = as_role(server, "postgres")
    counted = (
        "SELECT pg_postmaster_start_time(), sessions, tup_inserted, tup_deleted"
        " FROM pg_stat_database WHERE datname = 'template1'"
    )
    _crash(superuser)
    before = query(server, counted)
    builder = _asked_once(Settings.load({"DATABASE_URL": server}), tmp_path)
    execute(with_database(superuser, "template1"), "CREATE TABLE in_the_template ()", "CHECKPOINT")
    assert query(server, counted) != before
    _crash(superuser)
    assert query(server, counted) == before
    assert builder.ask() == 2


def _crash(superuser: str) -> None:
    """Kill a process of the server, and wait for the recovery."""

    async def kill() -> None:
        async with reader(superuser) as connection:
            os.kill(connection.get_server_pid(), signal.SIGKILL)
            await connection.execute("SELECT")

    with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError):
        asyncio.run(kill())
    wait_until(lambda: _is_up(superuser), "the server has recovered")


def _is_up(url: str) -> bool:
    with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError):
        return bool(query(url, "SELECT 1"))
    return False


async def test_what_a_foreign_server_may_have_said_is_not_kept(server: str) -> None:
    async with reader(as_role(server, "postgres")) as connection:
        assert not await may_ask_others(connection)
        await connection.execute("CREATE FOREIGN DATA WRAPPER another")
        assert await may_ask_others(connection)


def test_what_cannot_be_known_is_not_kept(
    builder: Builder, monkeypatch: pytest.MonkeyPatch, quiet_server: str
) -> None:
    def run_a_program() -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)

    def ask_another_server() -> None:
        for name in ("own", "another"):
            with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
                sock.connect(str(builder.read / name))

    def create_a_role() -> None:
        # In a thread, because a build is part of an event loop.
        with ThreadPoolExecutor() as threads:
            threads.submit(execute, superuser, "CREATE ROLE another").result()

    superuser = as_role(quiet_server, "postgres")
    for number, meanwhile in enumerate((run_a_program, ask_another_server, create_a_role)):
        builder.meanwhile = meanwhile
        before = builder.builds
        for builds in (before + 1, before + 2):
            try:
                assert builder.ask(number) == builds
            finally:  # the server is as it was
                execute(superuser, "DROP ROLE IF EXISTS another")
    builder.meanwhile = lambda: None
    builder.lasts = False
    assert builder.ask("of a moment") < builder.ask("of a moment")
    builder.lasts = True
    # A file may have been edited after this process had read it.
    monkeypatch.setattr(build_inputs, "_STARTED", (builder.read / "1.sql").stat().st_mtime + 1)
    assert builder.ask("new") < builder.ask("new")


RUNS_A_PROGRAM = "import os; os.system('true')"
ASKS_A_SERVER = """
import socket
with socket.socket() as sock:
    sock.connect(("127.0.0.1", 9))
"""


@pytest.mark.parametrize("text", [RUNS_A_PROGRAM, ASKS_A_SERVER])
def test_nothing_is_kept_where_a_module_asks_others(text: str, builder: Builder) -> None:
    with contextlib.suppress(ConnectionRefusedError):
        _import_module(builder.read.parent, text)
    assert (builder.ask(), builder.ask()) == (2, 3)


def test_nothing_is_kept_where_modules_were_not_watched(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_inputs, "unwatched", {"conf.py"})
    assert (builder.ask(), builder.ask()) == (2, 3)


@contextmanager
def _damaged(file: Path) -> Iterator[bytearray]:
    content = bytearray(file.read_bytes())
    yield content
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "others may write", "other data"])
def test_a_damaged_file_is_ignored_and_replaced(damage: str, builder: Builder) -> None:
    [file] = builder.files
    match damage:
        case "cut":
            with _damaged(file) as content:
                del content[-10:]
        case "emptied":
            file.write_bytes(b"")
        case "changed":
            whole = file.read_bytes()
            value = replace(pickle.loads(whole[32:]), value=999)  # noqa: S301 -- our own
            file.write_bytes(whole[:32] + pickle.dumps(value))
        case "others may write":
            file.chmod(0o622)
        case "other data":
            data = b"no pickle"
            file.write_bytes(hashlib.sha256(data).digest() + data)
    assert (builder.ask(), builder.ask()) == (2, 2)


def test_a_folder_that_cannot_be_written_keeps_nothing(builder: Builder) -> None:
    builder.settings = replace(builder.settings, data_directory=builder.read / "1.sql")
    assert (builder.ask(), builder.ask()) == (2, 3)


@contextmanager
def _full_disk() -> Iterator[None]:
    """Have no file grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_nothing_and_leaves_nothing(builder: Builder) -> None:
    before = builder.files
    with _full_disk():
        asked = (builder.ask("more"), builder.ask("more"))
    assert asked == (2, 3)
    assert builder.files == before
    assert builder.ask() == 1


def test_several_at_once_leave_whole_files(builder: Builder) -> None:
    async def at_once() -> list[int]:
        asked: list[Awaitable[int]] = [
            kept.kept(builder.settings, ("several",), builder.build) for _ in range(5)
        ]
        return list(await asyncio.gather(*asked))

    asyncio.run(at_once())
    before = builder.builds
    assert builder.ask("several") <= before == builder.builds
    assert len(builder.files) == 2


def test_the_oldest_files_are_removed(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST", 2)
    assert [builder.ask(number) for number in range(3)] == [2, 3, 4]
    assert len(builder.files) == 2
    assert builder.ask(2) == 4
    builder.files[0].with_name("killed.new").write_bytes(bytes(1000))
    monkeypatch.setattr(kept, "_MOST_BYTES", builder.files[0].stat().st_size)
    assert builder.ask(3) == 5
    assert len(builder.files) == 1


@pytest.mark.same_on_every_version
async def test_drift_and_check_need_no_scratch_database_the_second_time(
    database: Database, tmp_path: Path, as_a_command: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(
        Settings.load({"DATABASE_URL": database.url}), data_directory=tmp_path / "data"
    )
    monkeypatch.setattr(build_inputs, "_modules", lambda: {kept.__file__})
    # Other tests change the roles of this server meanwhile.
    monkeypatch.setattr(kept, "_facts", AsyncMock(return_value=await kept._facts(settings)))
    models = await compare_models(settings)
    drift = await find_drift(settings, settings)
    monkeypatch.setattr(built, "migrated", _forbidden)
    monkeypatch.setattr(built, "built_from_classes", _forbidden)
    # Nor do they read anything large: their digests are the same.
    monkeypatch.setattr(drift_module, "read_live", _forbidden)
    monkeypatch.setattr(built.Built, "_unpacked", property(_forbidden))
    assert await find_drift(settings, settings) == drift
    assert await compare_models(settings) == models
    with pytest.raises(AssertionError, match="a scratch database"):
        await find_drift(settings, replace(settings, builds_anew=True))


CHECKS = """
import sys
from partman.cli import main
sys.argv = ["partman", "check"]
try:
    main()
finally:
    from partman.migration.verification import build_inputs
    print("piccolo_conf" in sys.modules, build_inputs.unwatched)
"""


@pytest.mark.same_on_every_version
def test_a_command_watches_before_it_imports_the_project(database: Database) -> None:
    checked = run_script("python", "-c", CHECKS, environment=database.environment)
    assert checked.stdout.splitlines()[-1:] == ["True set()"], checked.output


def _forbidden(*_: object) -> None:
    raise AssertionError("a scratch database was made")


def test_an_interpreter_that_ends_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells so when it has cleared the modules, and prints what the watching raises."""
    monkeypatch.setattr(build_inputs, "_EVENTS", None)
    sys.audit("cpython._PySys_ClearAuditHooks")
