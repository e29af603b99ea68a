"""Follow a document: run its steps in one shell, in a copy of the checkout."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import Step
from tests.faults.processes import forked_scripts
from tests.psql import client_program
from tests.support import MIGRATIONS, ROOT, clean_environment

_COPIED = ("partman", "seeds", "piccolo_conf.py", "pyproject.toml", ".gitignore")
_SITUATIONS = Path(__file__).with_name("situations.py")


@dataclass(frozen=True)
class Followed:
    """The result of a step."""

    code: int
    output: str


def copy_checkout(folder: Path) -> None:
    """Create a clone as a reader has it, with a single commit."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            # With compiled files, because each reader would otherwise compile the whole project.
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "A clone"]):
        subprocess.run([*git, *command], check=True)


def follow(
    steps: list[Step], *, level: str, folder: Path, scratch: Path, environment: Mapping[str, str]
) -> list[Followed]:
    """Run the steps up to the first with an unexpected exit code; ``level`` is a zygote's."""
    script = scratch / "script.sh"
    steps_in_shell = "".join(_shell(number, step, scratch) for number, step in enumerate(steps))
    # Quoted: the checkout may be in a folder with a space.
    situation = f"situation() {{ python '{_SITUATIONS}' \"$@\"; }}\n"
    script.write_text(situation + steps_in_shell)
    subprocess.run(
        ["bash", script],
        cwd=folder,
        env={**reader_environment(folder, level), **environment},
        stdin=subprocess.DEVNULL,
        timeout=1800,  # only there to end a hang
        check=False,
    )
    done = []
    for number in range(len(steps)):
        code = scratch / f"{number}.code"
        if code.exists():
            output = (scratch / f"{number}.output").read_text()
            done.append(Followed(int(code.read_text()), _without_folder(output, folder)))
    return done


def reader_environment(folder: Path, level: str) -> dict[str, str]:
    inherited = clean_environment(
        **forked_scripts(level),
        PYTHONPATH=str(folder),
        PYTHONUNBUFFERED="1",  # both streams go to one file, in the order they were written
        PYTHONDONTWRITEBYTECODE="",  # or each command would compile the whole project
        COLUMNS="100",
        LOGNAME="ada",
    )
    if shutil.which("psql") is None:
        inherited["PATH"] += f":{client_program('psql').parent}"
    return inherited


def _shell(number: int, step: Step, scratch: Path) -> str:
    """All steps share one shell, so that exported variables stay set."""
    output, code = scratch / f"{number}.output", scratch / f"{number}.code"
    return (
        f"{{\n{step.script}\n}} > '{output}' 2>&1\n"
        f"code=$?; echo $code > '{code}'; [ $code = {step.exit_code} ] || exit\n"
    )


def _without_folder(output: str, folder: Path) -> str:
    text = re.sub(r"\x1b\[[\d;]*m", "", output).replace(str(folder), "/home/ada/partman")
    return re.sub(
        r"(?<=host=%2F)[^&]+", "home%2Fada%2Fpartman%2F.partman%2Fserver%2Fs-098d168b", text
    )


_LANDED = "|".join(re.escape(migration) for migration in MIGRATIONS)
_DIFFERS = (
    # The ID from `partman new` is the time at which it ran.
    (rf"(?!{_LANDED})\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d:\d{{6}}", "ID"),
    (r"(?<=_)\d{4}_\d\d_\d\dt\d\d_\d\d_\d\d_", "ID_"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"\d\d:\d\d:\d\d ago", "TIME ago"),
    (r"as of \d{4}-\d\d-\d\d", "as of DAY"),
    (r"\b\d+(\.\d+)? s\b", "N s"),
    (r"\bin \d+\.\d+s\b", "in N s"),
    (r"\b\d+\.\d ms\b", "N ms"),
    (r"\b\d+ (bytes|kB) live", "N kB live"),
    (r"\bpid \d+", "pid N"),
    (r"pg_terminate_backend\(\d+\)", "pg_terminate_backend(N)"),
    (r"since \d\d:\d\d:\d\d UTC", "since TIME UTC"),
    (r"\b[0-9a-f]{12,40}\b(-dirty)?", "HEX"),
    (r"\w+@[\w.-]+ as \w+", "WHO"),
    (r"PostgreSQL \d+(\.\d+)?", "PostgreSQL N"),
    (r"\b\d+ alerts", "N alerts"),  # they depend on the day
    (r"  +", "  "),  # a column is as wide as its longest value
    (r"-{3,}", "---"),
    (r" +$", ""),
)
"""Parts of the output that differ between runs."""


def normal(output: str) -> str:
    """Return an output without the parts that differ between runs."""
    for pattern, stand_in in _DIFFERS:
        output = re.sub(pattern, stand_in, output, flags=re.MULTILINE)
    return output.strip("\n")


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether the document shows the printed output; ``...`` stands for any lines."""
    parts = re.split(r"^\.\.\.$\n?", normal(shown) + "\n", flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, normal(printed) + "\n") is not None
