"""Writes the migrations that are missing: what the table classes say, and the others do not.

Piccolo finds what is to be done to tables and columns. Its operations are run on a scratch
database, and what is then still missing is read from the catalogs. Nothing is believed: what was
written is run, there, back and there again, and each time the catalog has to be the expected one.
"""

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from piccolo.conf.apps import AppConfig

from partman.apps import app_configs
from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import lines
from partman.database.scratch import scratch_database
from partman.errors import BuildFailedError, NotExpressibleError
from partman.migration.autogenerate.divide import Task, compose
from partman.migration.autogenerate.piccolo_operations import Operations, ask_piccolo
from partman.migration.autogenerate.render import MigrationDraft, write
from partman.migration.ledger.files import MigrationFile, look_again, migration_files
from partman.migration.verification.rebuild import (
    backwards,
    catalog_of_classes,
    read_migrated,
    replay,
)
from partman.settings import Settings

Report = Callable[[str], None]


@dataclass(frozen=True)
class File:
    """A migration file."""

    app: str
    id: str
    description: str
    online: bool
    path: Path
    text: str


async def generate(
    settings: Settings, name: str, *, auto_input: str | None, report: Report
) -> list[File]:
    """Write what is missing; return the files, none if nothing is.

    ``settings`` say on which server scratch databases are made. ``auto_input`` answers what Piccolo
    asks. ``report`` is told what takes seconds. Raises AnswerNeededError, NotExpressibleError, and
    what a build raises; then no file is left behind.
    """
    description = re.sub(r"[\W_]+", " ", name).strip()
    apps = {app.app_name: app for app in app_configs()}
    asked = {app: await ask_piccolo(config, auto_input) for app, config in apps.items()}
    report("Building a database from the migrations ...")
    async with scratch_database(settings) as built:
        # First, for a migration makes the roles, which belong to the server.
        await replay(built)
        found = await read_migrated(built)
        report("Building one from the table classes ...")
        expected = await catalog_of_classes(settings)
        if expected == found and not any(each.operations for each in asked.values()):
            return []
        earlier = migration_files()
        trial = _Trial(settings, _database(built), apps, asked, earlier, report)
        newest = max((file.id for file in earlier), default="")
        for literally in (False, True):
            task = Task(asked, expected, found, description, newest, literally)
            files = trial.files(await compose(task, trial.probe))
            with _on_disk(files) as disk:
                wrong = await trial.run(files, task)
                disk.keep = wrong is None
            if wrong is None:
                return files
    raise NotExpressibleError(
        "What was written does not make of the migrations what the table classes say. Nothing was "
        f"kept. Write this part by hand: piccolo migrations new {next(iter(apps))}\n{wrong}"
    )


class _Trial:
    """Runs migrations on copies of a database at the newest version."""

    def __init__(
        self,
        settings: Settings,
        template: str,
        apps: dict[str, AppConfig],
        asked: dict[str, Operations],
        earlier: Iterable[MigrationFile],
        report: Report,
    ) -> None:
        self._settings, self._template = settings, template
        self._apps, self._asked, self._report = apps, asked, report
        self._earlier = {file.key for file in earlier}

    def files(self, migrations: Iterable[MigrationDraft]) -> list[File]:
        return [self._file(each) for each in migrations]

    async def probe(self, migrations: list[MigrationDraft]) -> tuple[Catalog, Catalog]:
        """Return what there is after the migrations, and after going back."""
        self._report("Running Piccolo's operations ...")
        files = self.files(
            replace(each, id=f"9999-01-01T00:00:{number:02}:000000", description="probe")
            for number, each in enumerate(migrations)
        )
        with _on_disk(files):
            async with self._copy() as scratch:
                await replay(scratch)
                after = await read_migrated(scratch)
                await _undo_all(scratch, files)
                return after, await read_migrated(scratch, self._earlier)

    async def run(self, files: list[File], task: Task) -> str | None:
        """Go there, back, and there again; say what is not as it should be."""
        self._report("Running it there, back, and there again ...")
        async with self._copy() as scratch:
            try:
                await replay(scratch)
                wrong = _different("forwards", task.expected, await read_migrated(scratch))
                if wrong is None:
                    await _undo_all(scratch, files)
                    wrong = _different(
                        "backwards", task.found, await read_migrated(scratch, self._earlier)
                    )
                if wrong is None:
                    await replay(scratch)
                    wrong = _different(
                        "forwards again", task.expected, await read_migrated(scratch)
                    )
            except BuildFailedError as error:
                wrong = str(error)
        return wrong or await self._what_piccolo_misses()

    async def _what_piccolo_misses(self) -> str | None:
        """Say what Piccolo's next auto migration would still find."""
        for name, app in self._apps.items():
            asked = await ask_piccolo(app, "n")
            if asked.operations:
                return f"{name}: Piccolo does not see {asked.operations[0].text}"
        return None

    def _copy(self) -> AbstractAsyncContextManager[Settings]:
        return scratch_database(self._settings, template=self._template)

    def _file(self, contents: MigrationDraft) -> File:
        asked = self._asked[contents.app]
        app = self._apps[contents.app]
        stamp = re.sub(r"[-:]", "_", contents.id.rpartition(":")[0]).lower()
        name = "_".join(re.sub(r"\W+", "_", part) for part in (contents.app, stamp))
        slug = re.sub(r"\W+", "_", contents.description).strip("_").lower()
        return File(
            contents.app,
            contents.id,
            contents.description,
            contents.online,
            Path(app.resolved_migrations_folder_path) / f"{name}_{slug}.py",
            write(contents, asked.imports, asked.definitions),
        )


@dataclass
class _OnDisk:
    keep: bool = False


@contextlib.contextmanager
def _on_disk(files: Sequence[File]) -> Iterator[_OnDisk]:
    """Let Piccolo find the files for the duration of a block, or from now on if they are kept."""
    disk = _OnDisk()
    no_bytecode = sys.dont_write_bytecode
    # A file by the same name would be taken for the one that has just been removed.
    sys.dont_write_bytecode = True
    written = []
    try:
        for file in files:
            with file.path.open("x", encoding="utf-8") as opened:
                written.append(file)
                opened.write(file.text)
        _look_again(files)
        yield disk
    except BaseException:
        disk.keep = False
        raise
    finally:
        sys.dont_write_bytecode = no_bytecode
        if not disk.keep:
            for file in written:
                file.path.unlink()
        _look_again(files)


def _look_again(files: Iterable[File]) -> None:
    for file in files:
        sys.modules.pop(file.path.stem, None)
    importlib.invalidate_caches()
    look_again()


async def _undo_all(settings: Settings, files: Sequence[File]) -> None:
    for file in reversed(files):
        await backwards(settings, MigrationFile(file.app, file.id, file.description, file.path))


def _different(direction: str, expected: Catalog, found: Catalog) -> str | None:
    differences = compare(expected, found)
    return "\n".join([f"After going {direction}:", *lines(differences)]) if differences else None


def _database(settings: Settings) -> str:
    assert settings.database_url is not None
    return urlsplit(settings.database_url).path.removeprefix("/")
