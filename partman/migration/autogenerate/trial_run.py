"""Runs migrations on trial, on copies of a database at the newest version and on empty ones."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from piccolo.conf.apps import AppConfig

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import lines
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.errors import BuildFailedError
from partman.migration.autogenerate.divide import Task
from partman.migration.autogenerate.piccolo_operations import Operations, ask_piccolo
from partman.migration.autogenerate.render import MigrationDraft, write
from partman.migration.autogenerate.trial_files import File, on_trial
from partman.migration.ledger import history
from partman.migration.ledger.files import MigrationFile
from partman.migration.verification.rebuild import backwards, read_migrated, replay
from partman.settings import Settings

Report = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What migrations are run with."""

    settings: Settings
    """On which server scratch databases are made."""
    template: Settings
    """A database at the newest version."""
    apps: dict[str, AppConfig]
    """All of them, in the order in which Piccolo migrates them."""
    asked: dict[str, Operations]
    """What Piccolo would do, in the apps that migrations are written for."""
    earlier: Sequence[MigrationFile]
    report: Report

    def files(self, migrations: Iterable[MigrationDraft]) -> list[File]:
        """Return the files that say the migrations."""
        return [self._file(each) for each in migrations]

    async def probe(self, migrations: list[MigrationDraft]) -> tuple[Catalog, Catalog]:
        """Return what there is after the migrations, and after going back."""
        self.report("Running Piccolo's operations ...")
        files = self.files(
            replace(each, id=f"9999-01-01T00:00:{number:02}:000000", description="probe")
            for number, each in enumerate(migrations)
        )
        with on_trial(self.apps, files):
            async with self._copy() as scratch:
                await replay(scratch)
                after = await read_migrated(scratch)
                return after, await self._back(scratch, files)

    async def run(self, files: Sequence[File], task: Task) -> str | None:
        """Apply, revert and re-apply; say what is not as it should be."""
        self.report("Applying, reverting and re-applying it ...")
        with on_trial(self.apps, files):
            async with self._copy() as scratch:
                try:
                    wrong = await self._there("forwards", scratch, task)
                    if wrong is None:
                        back = await self._back(scratch, files)
                        wrong = _different("After going backwards", task.found, back)
                    if wrong is None:
                        wrong = await self._there("forwards again", scratch, task)
                except BuildFailedError as error:
                    wrong = str(error)
            return wrong or await self._what_piccolo_misses()

    async def run_from_nothing(self, files: Sequence[File], task: Task) -> str | None:
        """Run all migrations on an empty database; say what is not as it should be.

        Piccolo runs all of one app before those of the next. So where an app that comes later has
        migrations already, the new ones run before these, and not after them.
        """
        order = list(self.apps)
        first = min(order.index(file.app) for file in files)
        if not any(order.index(file.app) > first for file in self.earlier):
            return None
        self.report("Running all migrations on an empty database ...")
        with on_trial(self.apps, files):
            async with scratch_database(self.settings) as scratch:
                try:
                    return await self._there("all migrations", scratch, task)
                except BuildFailedError as error:
                    return await _failed(scratch, error)

    async def _there(self, how: str, scratch: Settings, task: Task) -> str | None:
        await replay(scratch)
        return _different(f"After going {how}", task.expected, await read_migrated(scratch))

    async def _back(self, scratch: Settings, files: Sequence[File]) -> Catalog:
        for file in reversed(files):
            await backwards(scratch, MigrationFile(file.app, file.id, file.description, file.path))
        return await read_migrated(scratch, {file.key for file in self.earlier})

    async def _what_piccolo_misses(self) -> str | None:
        """Say what Piccolo's next auto migration would still find."""
        for name in self.asked:
            asked = await ask_piccolo(self.apps[name], "n")
            if asked.operations:
                return f"{name}: Piccolo does not see {asked.operations[0].text}"
        return None

    def _copy(self) -> AbstractAsyncContextManager[Settings]:
        assert self.template.database_url is not None
        name = urlsplit(self.template.database_url).path.removeprefix("/")
        return scratch_database(self.settings, template=name)

    def _file(self, draft: MigrationDraft) -> File:
        asked = self.asked[draft.app]
        folder = Path(self.apps[draft.app].resolved_migrations_folder_path)
        stamp = re.sub(r"[-:]", "_", draft.id.rpartition(":")[0]).lower()
        name = "_".join(re.sub(r"\W+", "_", part) for part in (draft.app, stamp))
        slug = re.sub(r"\W+", "_", draft.description).strip("_").lower()
        text = write(draft, asked.imports, asked.definitions)
        return File(
            draft.app, draft.id, draft.description, draft.online, folder / f"{name}_{slug}.py", text
        )


async def _failed(scratch: Settings, error: BuildFailedError) -> str:
    """Say which migration has failed, and why."""
    async with connected(scratch, "partman new") as connection:
        last = await history.read_last(connection)
    which = f"{last.migration} of {last.app} fails. " if last and last.error else ""
    return f"{which}{error}"


def _different(when: str, expected: Catalog, found: Catalog) -> str | None:
    differences = compare(expected, found)
    return "\n".join([f"{when}:", *lines(differences)]) if differences else None
