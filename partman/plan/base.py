"""Plan what a branch adds: its migrations, tried on a database built at a revision of git."""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from partman import project
from partman.database.scratch import scratch_database
from partman.errors import PreflightError, SettingsError
from partman.migration.ledger.checksum import checksum
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.verification.rebuild import replay
from partman.plan.model import Plan
from partman.plan.trial import make_plan
from partman.settings import Settings

Report = Callable[[str], object]

_NOTHING = "Nothing was tried."


async def plan_against(ref: str, scratch_server: Settings, report: Report) -> Plan:
    """Try the migrations that are new since a revision, on a database that it would build.

    Raises SettingsError for a revision that git does not know, PreflightError if a migration of the
    revision was edited or removed since, and the errors of make_plan().
    """
    branch = _Branch.since(ref)
    branch.refuse_changed()
    async with scratch_database(scratch_server) as base:
        report(f"Building a database at {ref}")
        await replay(base, {file.key for file in branch.old})
        return await make_plan(base, scratch_server, report)


@dataclass(frozen=True)
class _Branch:
    """The migration files of the working tree, compared with a revision."""

    ref: str
    old: tuple[MigrationFile, ...]
    """Files that the revision has, or that are not in the repository, as those of a package."""
    new: tuple[MigrationFile, ...]
    edited: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def since(cls, ref: str) -> "_Branch":
        top = Path(_git("rev-parse", "--show-toplevel").strip())
        _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", unknown=ref)
        files = migration_files()
        names = {file: _name(file, top) for file in files}
        folders = {name.rpartition("/")[0] for name in names.values() if name}
        listed = _git(
            "ls-tree", "-z", "--name-only", ref, *(f"{each}/" for each in folders), at=top
        )
        known = {name for name in listed.split("\0") if name.endswith(".py")} if folders else set()
        old = tuple(file for file in files if names[file] is None or names[file] in known)
        gone = known - set(names.values()) - {f"{each}/__init__.py" for each in folders}
        return cls(
            ref,
            old,
            tuple(file for file in files if file not in old),
            tuple(
                name for file in old if (name := names[file]) and _is_edited(ref, name, file, top)
            ),
            tuple(sorted(name for name in gone if not (top / name).exists())),
        )

    def refuse_changed(self) -> None:
        """Raise PreflightError if a migration was edited or removed since the revision."""
        changed: Sequence[tuple[str, Sequence[str]]] = (
            ("was edited", self.edited),
            ("was removed", self.removed),
        )
        found = [f"{name} {what}" for what, names in changed for name in names]
        if found:
            raise PreflightError(
                f"{', '.join(found)} since {self.ref}, where it may be applied already. {_NOTHING} "
                "Restore it, and write a new migration: partman new NAME"
            )


def _name(file: MigrationFile, top: Path) -> str | None:
    """Return the name of a file in the repository; None if it is outside, or ignored."""
    path = file.path.resolve()
    if not path.is_relative_to(top.resolve()):
        return None
    ignored = subprocess.run(
        ["git", "-C", str(top), "check-ignore", "--quiet", str(path)], check=False
    )
    return None if ignored.returncode == 0 else path.relative_to(top.resolve()).as_posix()


def _is_edited(ref: str, name: str, file: MigrationFile, top: Path) -> bool:
    before = _git("show", f"{ref}:{name}", at=top)
    if before == file.path.read_text("utf-8"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, file.path.name)
        copy.write_text(before, "utf-8")
        return checksum(copy) != file.checksum


def _git(*arguments: str, at: Path | None = None, unknown: str = "") -> str:
    folder = at or project.folder()
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise SettingsError(f"--base needs git, which is not installed. {_NOTHING}") from error
    if ended.returncode:
        if unknown:
            raise SettingsError(
                f"git has no revision {unknown} in {folder}. {_NOTHING} A shallow clone may lack "
                f"it: git fetch --depth 1 origin {unknown}"
            )
        raise SettingsError(f"git failed: {ended.stderr.strip()}. {_NOTHING}")
    return ended.stdout
