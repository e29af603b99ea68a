"""Run migrations on trial, on databases at the newest version and on empty ones."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from piccolo.conf.apps import AppConfig

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import lines
from partman.database.connection import KEEPS_NO_STATEMENT, connected
from partman.database.scratch import scratch_database
from partman.errors import BuildFailedError
from partman.migration.autogenerate.divide import Task
from partman.migration.autogenerate.newest import Newest, Scratch, over_one_connection
from partman.migration.autogenerate.piccolo_operations import Operations, ask_piccolo
from partman.migration.autogenerate.render import MigrationDraft, formatted, with_id, write
from partman.migration.autogenerate.trial_files import File, on_trial
from partman.migration.ledger import history
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.identity import MigrationKey
from partman.migration.verification.rebuild import (
    all_backwards,
    build_classes,
    read_migrated_over,
    replay,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Report = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """The context in which migrations are tried."""

    settings: Settings
    """The server for scratch databases."""
    newest: Newest
    found: Catalog
    """What the newest version has, without what open contracts drop."""
    apps: dict[str, AppConfig]
    """All apps, in the order in which Piccolo migrates them."""
    asked: dict[str, Operations]
    """Piccolo's operations, for the apps that migrations are written for."""
    earlier: Sequence[MigrationFile]
    report: Report
    closed: Callable[[Catalog], Catalog]
    """Leaves out of a catalog what open contracts drop."""

    def files(self, migrations: Iterable[MigrationDraft]) -> list[File]:
        """Return the migration files of the drafts, as they are to be kept."""
        return [replace(file, text=formatted(file.text)) for file in map(self._file, migrations)]

    async def probe(self, migrations: list[MigrationDraft]) -> tuple[Catalog, Catalog | None]:
        """Return the catalogs after applying and after reverting the migrations; see Probe."""
        self.report("Running Piccolo's operations ...")
        files = self._probed(migrations)
        if all(each.only_adds for each in migrations):
            return await self._probe_additions(files), None
        async with self.newest.copied() as copy, over_one_connection(copy) as scratch:
            with on_trial(self.apps, files):
                after = await self._apply(scratch)
                return after, await self._revert(scratch, files)

    async def _probe_additions(self, files: Sequence[File]) -> Catalog:
        """Return the catalog after applying migrations whose reverting can lose nothing."""
        scratch = await self.newest.to_change()
        with on_trial(self.apps, files):
            after = await self._apply(scratch)
            if await self._revert(scratch, files) == self.found:
                self.newest.restored(scratch)
            return after

    @contextlib.asynccontextmanager
    async def applied(
        self, migrations: Sequence[MigrationDraft]
    ) -> "AsyncIterator[Connection[Record]]":
        """Yield a connection to a scratch database on which the migrations were applied too."""
        files = self._probed(migrations)
        async with self.newest.copied() as scratch:
            with on_trial(self.apps, files):
                if files:
                    await replay(scratch)
                async with connected(scratch, "partman new", **KEEPS_NO_STATEMENT) as connection:
                    yield connection

    @contextlib.asynccontextmanager
    async def of_classes(self) -> "AsyncIterator[Connection[Record]]":
        """Yield a connection to a scratch database that the table classes have built."""
        async with (
            scratch_database(self.settings) as scratch,
            connected(scratch, "partman new", **KEEPS_NO_STATEMENT) as connection,
        ):
            await build_classes(connection)
            yield connection

    def _probed(self, migrations: Sequence[MigrationDraft]) -> list[File]:
        return [
            self._file(
                replace(with_id(each, f"9999-01-01T00:00:{number:02}:000000"), description="probe")
            )
            for number, each in enumerate(migrations)
        ]

    async def _read(
        self, scratch: Scratch, only: Collection[MigrationKey] | None = None
    ) -> Catalog:
        """Return the catalog without what open contracts drop."""
        return self.closed(await read_migrated_over(scratch.reader, scratch.settings, only))

    async def run(self, files: Sequence[File], task: Task) -> str | None:
        """Apply, revert and re-apply; return the differences, or None."""
        self.report("Applying, reverting and re-applying it ...")
        scratch = await self.newest.to_change()
        with on_trial(self.apps, files):
            try:
                wrong = await self._apply_and_compare("forwards", scratch, task)
                if wrong is None:
                    back = await self._revert(scratch, files)
                    wrong = _different("After reverting", task.found, back)
                if wrong is None:
                    wrong = await self._apply_and_compare("re-applying", scratch, task)
            except BuildFailedError as error:
                wrong = str(error)
            return wrong or await self._missed_operations()

    async def run_from_nothing(self, files: Sequence[File], task: Task) -> str | None:
        """Apply all migrations to an empty database; return the differences, or None.

        Piccolo runs all migrations of one app before those of the next. So if a later app already
        has migrations, the new ones run before these instead of after them. Otherwise run() has
        tried just that: on a copy of what all other migrations make of an empty database.
        """
        order = list(self.apps)
        first = min(order.index(file.app) for file in files)
        if not any(order.index(file.app) > first for file in self.earlier):
            return None
        self.report("Applying all migrations to an empty database ...")
        with on_trial(self.apps, files):
            async with (
                scratch_database(self.settings) as empty,
                over_one_connection(empty) as scratch,
            ):
                try:
                    return await self._apply_and_compare("applying all migrations", scratch, task)
                except BuildFailedError as error:
                    return await _failed(empty, error)

    async def _apply_and_compare(self, action: str, scratch: Scratch, task: Task) -> str | None:
        return _different(f"After {action}", task.expected, await self._apply(scratch))

    async def _apply(self, scratch: Scratch) -> Catalog:
        await replay(scratch.settings)
        return await self._read(scratch)

    async def _revert(self, scratch: Scratch, files: Sequence[File]) -> Catalog:
        await all_backwards(scratch.settings, [MigrationKey(file.app, file.id) for file in files])
        return await self._read(scratch, {file.key for file in self.earlier})

    async def _missed_operations(self) -> str | None:
        """Return the first operation that Piccolo would still find next time, or None."""
        for name in self.asked:
            asked = await ask_piccolo(self.apps[name], "n")
            if asked.operations:
                return f"{name}: Piccolo would still find {asked.operations[0].text}"
        return None

    def _file(self, draft: MigrationDraft) -> File:
        asked = self.asked.get(draft.app, Operations((), frozenset(), ()))
        folder = Path(self.apps[draft.app].resolved_migrations_folder_path)
        stamp = re.sub(r"[-:]", "_", draft.id.rpartition(":")[0]).lower()
        name = "_".join(re.sub(r"\W+", "_", part) for part in (draft.app, stamp))
        slug = re.sub(r"\W+", "_", draft.description).strip("_").lower()
        text = write(draft, asked.imports, asked.definitions)
        return File(
            draft.app, draft.id, draft.description, draft.online, folder / f"{name}_{slug}.py", text
        )


async def _failed(scratch: Settings, error: BuildFailedError) -> str:
    """Return a sentence with the failed migration and its error."""
    async with connected(scratch, "partman new") as connection:
        last = await history.read_last(connection)
    which = f"{last.migration} of {last.app} fails. " if last and last.error else ""
    return f"{which}{error}"


def _different(when: str, expected: Catalog, found: Catalog) -> str | None:
    differences = compare(expected, found)
    return "\n".join([f"{when}:", *lines(differences)]) if differences else None
