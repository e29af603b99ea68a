"""Commands that run without Typer do as Typer would have them do, and load nothing of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from partman.cli.app import app
from partman.cli.plain_options import plain_options

pytestmark = pytest.mark.same_on_every_version

_GROUP = get_command(app)
_COMMANDS = ("status", "history", "migrate", "wait", "redo")
_WORDS = ("--json", "--limit", "--timeout", "--retries", "--traceback", "--help", "--", "-h")
_VALUES = ("0", "7", "007", "1.5", ".5", "5.", ".", "-1", "1e3", "nan", "inf", "1_0", "²", "", " 3")
_words = st.one_of(
    st.sampled_from((*_WORDS, *_VALUES)),
    st.builds("{}={}".format, st.sampled_from(_WORDS), st.sampled_from(_VALUES)),
    st.sampled_from(("1" * 5000, "--limit=" + "1" * 5000)),
)


@given(st.sampled_from(_COMMANDS), st.lists(_words, max_size=4))
def test_options_read_without_typer_are_those_that_typer_reads(
    command: str, words: list[str]
) -> None:
    found = plain_options([command, *words])
    if found is not None:
        assert found == _as_typer_reads(command, words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status", {}),
        ("status --json", {"--json": True}),
        ("history --json --limit 5", {"--json": True, "--limit": 5}),
        ("history --limit=5", {"--limit": 5}),
        ("migrate --timeout 0.5 --retries=3", {"--timeout": 0.5, "--retries": 3}),
    ],
)
def test_usual_command_lines_need_no_typer(words: str, expected: dict[str, float]) -> None:
    assert plain_options(words.split()) == expected


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--help",
        "status --help",
        "status x",
        "history --limit",
        "history --limit 1 --limit 2",
        "history --limit 1.5",
        "migrate --timeout -1",
        "migrate --traceback",
        "check --json",
    ],
)
def test_typer_parses_what_is_not_plain(words: str) -> None:
    assert plain_options(words.split()) is None


def test_status_history_and_migrate_load_only_what_they_need(tmp_path: Path) -> None:
    commands = ["status --json", "history --limit 5", "migrate --timeout 0 --retries 0"]
    before, modules = _loaded_by(commands, tmp_path)
    assert _unwanted(before) == []
    assert "piccolo.apps.migrations.commands.forwards" in modules
    assert [name for name in modules if name.startswith(NOT_FOR_A_RUN)] == []


def test_migrate_loads_nothing_that_only_shows_where_a_database_stands(tmp_path: Path) -> None:
    _, modules = _loaded_by(["migrate --timeout 0 --retries 0"], tmp_path)
    assert "piccolo.apps.migrations.commands.forwards" in modules
    assert FOR_LOOKING.isdisjoint(modules)


def _loaded_by(commands: list[str], folder: Path) -> tuple[list[str], list[str]]:
    """Return the modules that are loaded after the commands, and after the beginning of a run.

    The commands run in turn in one process, up to a server that does not answer. Then what runs
    migrations is loaded, as for those that are pending.
    """
    program = f"""
import json, sys
from partman.cli import main
codes = []
for command in {commands}:
    sys.argv = ["partman", *command.split()]
    try:
        main()
    except SystemExit as ended:
        codes.append(int(ended.code))
before = [*sys.modules]
from partman.cli.fast_path import load_run
load_run()
from partman.engine import PartmanEngine
from partman.migration import MigrationManager
print(json.dumps([codes, before, [*sys.modules]]))
"""
    url = f"postgresql://nobody@/nothing?host={folder}"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"DATABASE_URL": url, "PARTMAN_ENV": "test"},
        capture_output=True,
        text=True,
        check=True,
    )
    codes, before, modules = json.loads(ended.stdout)
    assert codes == [4] * len(commands), ended.stderr
    return before, modules


_TYPED = """
import json, os, sys
from partman.cli.app import create_app
found = {}
for command in sys.argv[1:]:
    reading, writing = os.pipe()
    if not os.fork():
        create_app(command)
        os.write(writing, " ".join(sys.modules).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found[command] = pipe.read().split()
    os.wait()
print(json.dumps(found))
"""
_NEEDS = {"undistribute": ["distribute"], "rehearse": ["plan"]}
"""Commands that are in the module of another, or have its options."""
_READ_THE_LEDGER = {"status", "history", "migrate", "wait", "redo", "reset"}
"""What partman.cli.fast_path does is a part of these commands."""


def test_help_of_a_command_loads_no_other_command_and_nothing_that_works() -> None:
    assert isinstance(_GROUP, typer.core.TyperGroup)
    commands = [*_GROUP.commands]
    loaded = subprocess.run(
        [sys.executable, "-c", _TYPED, *commands], capture_output=True, text=True, check=True
    )
    for command, modules in json.loads(loaded.stdout).items():
        needs = {command, *_NEEDS.get(command, ())}
        others = {f"partman.cli.{other}" for other in commands if other not in needs}
        assert others.isdisjoint(modules), command
        assert "partman.engine" not in modules, command
        if command not in _READ_THE_LEDGER:
            works = [name for name in modules if name.startswith("partman.migration")]
            assert [*works, *_unwanted(modules, but=HELP)] == [], command
            assert {"asyncpg", "asyncio"}.isdisjoint(modules), command


NOT_FOR_A_RUN = (
    *("black.", "blib2to3", "click", "IPython", "jinja2", "pathspec", "pydantic", "rich", "typer"),
    *("partman.asgi", "partman.audit", "partman.bulk", "partman.catalog", "partman.diagram"),
    *("partman.migration.autogenerate", "partman.migration.script"),
    *(f"partman.migration.runner.{name}" for name in ("online", "portions", "leftovers", "builds")),
    *(f"partman.migration.runner.{name}" for name in ("separate_commits", "step_")),
    *("partman.migration.verification", "partman.operator", "partman.plan", "partman.rehearsal"),
    *("partman.serve", "partman.tables", "postgast"),
)
"""What running migrations does not load: of Piccolo's packages, those that write files or print."""
FOR_LOOKING = {
    *("partman.cli.look", "partman.cli.status_report", "partman.cli.history_report"),
    *("partman.database.cluster", "partman.database.pool", "shutil"),
    *("partman.migration.ledger.running", "partman.migration.ledger.timeline"),
}
"""What shows where a database stands, what applications have, and what asks for a revision."""
HELP = frozenset({"typer", "click", "rich", "pydantic"})


def _as_typer_reads(command: str, words: list[str]) -> dict[str, float]:
    """Return the options that a command was given, as its function would get them."""
    assert isinstance(_GROUP, typer.core.TyperGroup)
    parser = _GROUP.commands[command]
    context = parser.make_context(command, [*words])
    return {
        parameter.opts[0]: context.params[parameter.name]
        for parameter in parser.params
        if parameter.name in context.params
        and str(context.get_parameter_source(parameter.name)).endswith("COMMANDLINE")
    }


def _unwanted(modules: list[str], but: frozenset[str] = frozenset()) -> list[str]:
    """Return what a command that only reads the ledger does not need."""
    packages = {"typer", "click", "rich", "pydantic", "black", "postgast"} - but
    rooms = ("partman.grammar", "partman.catalog", "partman.migration.runner", "partman.plan")
    piccolo = "piccolo."  # the package itself is empty, and tells its version
    return [
        name
        for name in modules
        if name.partition(".")[0] in packages or name.startswith((*rooms, piccolo))
    ]
