"""A zygote's commands run the text that is there when they start, also when it was edited.

Only a copied checkout is edited: its zygotes have few commands, and those of the tests thousands.
"""

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tests import forked_script
from tests.environment import ROOT

_modules: list[str] = []
"""The modules and packages of the app that this zygote of a checkout has imported."""
_texts: dict[Path, bytes] = {}
"""Their files, of which Piccolo also looks for new ones."""
_below: list[str] = []
"""The socket of the zygote that has not imported them."""


def may_be_edited(modules: Sequence[str], below: Path) -> None:
    """Let commands be handed down to the zygote below when one of these modules is edited."""
    if _imported().parent != ROOT:
        _modules.extend(modules)
        _texts.update(_read())
        _below.append(str(below))


def hand_down_if_edited(command: Sequence[str]) -> None:
    """Become the client of a zygote that has not imported what was edited meanwhile."""
    if _texts and _read() != _texts:
        os.environ["ZYGOTE"] = _below[0]
        sys.argv[1:] = command
        forked_script.main()


def refuse_another_partman(places: Collection[Path], started: float) -> None:
    """End if a process that is started in these places would import another text."""
    if "partman" not in sys.modules:
        return
    others = [place for place in places if (place / "partman").is_dir()]
    if any(not (place / "partman").samefile(_imported()) for place in others):
        sys.exit("It has a partman of its own, and this process another: use the level 'packages'.")
    if _imported().parent != ROOT and any(
        file.stat().st_mtime > started for file in _files() if file not in _texts
    ):
        sys.exit("A file of partman was edited after this process had imported it.")


def _imported() -> Path:
    return Path(sys.modules["partman"].__path__[0])


def _files() -> Iterator[Path]:
    """Return the files of partman's imported modules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("partman") and module.__file__:
            yield Path(module.__file__)


def _read() -> dict[Path, bytes]:
    places = [_imported().joinpath(*module.split(".")[1:]) for module in _modules]
    files = [file for place in places for file in place.rglob("*.py")]
    files += [file for place in places if (file := place.with_suffix(".py")).exists()]
    return {file: file.read_bytes() for file in files}
