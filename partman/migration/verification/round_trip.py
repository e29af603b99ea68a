"""Apply, revert and re-apply every migration on a scratch database that contains rows."""

import ast
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from partman.catalog.compare import Difference, compare
from partman.catalog.model import Catalog
from partman.catalog.read import KnownCatalogs
from partman.database.connection import KEEPS_NO_STATEMENT, connected
from partman.database.scratch import scratch_database
from partman.errors import PartmanError
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.ledger.find import find
from partman.migration.ledger.status import read_ledger
from partman.migration.verification.rebuild import (
    backwards,
    forwards,
    install_extensions,
    read_migrated_over,
    replay,
)
from partman.migration.verification.row_contents import Contents, Touched, read_contents, touched
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Fill = Callable[["Connection[Record]"], Awaitable[None]]
"""Inserts rows into the empty tables, as far as the schema accepts them."""


class RowsFailedError(PartmanError):
    """The function that supplies an app's rows has failed."""


class Leg(StrEnum):
    """One of the three runs of a migration."""

    UP = "up"
    DOWN = "down"
    AGAIN = "up again"


@dataclass(frozen=True)
class Verified:
    """A migration that passed: reverting and re-applying it restored the same state."""

    migration: MigrationFile
    objects: int
    """The number of objects after the migration, the same both times."""
    rows: int
    """The number of rows that were present before and kept."""
    filled: int
    """The number of tables that contained them."""
    empty: tuple[str, ...]
    """Tables without rows, for which nothing was verified."""


@dataclass(frozen=True)
class Failure:
    """What failed, or differs from the expected state."""

    migration: MigrationFile
    direction: Leg
    error: str | None = None
    """The error that stopped the migration."""
    differences: tuple[Difference, ...] = ()
    """In the catalog: after reverting, from the state before the migration; after re-applying, from
    the state after the first time.
    """
    touched: tuple[Touched, ...] = ()
    """Tables whose rows differ from those before the migration."""


@dataclass(frozen=True)
class Verification:
    """The verified migrations, up to the first failure."""

    verified: tuple[Verified, ...]
    failure: Failure | None


@dataclass(frozen=True)
class _State:
    catalog: Catalog
    contents: Contents


@dataclass(frozen=True)
class _Scratch:
    """The scratch database, and connections that read its catalog and its rows."""

    settings: Settings
    of_catalog: "Connection[Record]"
    of_rows: "Connection[Record]"
    known: KnownCatalogs = field(default_factory=KnownCatalogs)
    """Reverting a migration leads to the catalog before it, and re-applying to the one after it."""

    async def catalog(self, applied: Sequence[MigrationFile]) -> Catalog:
        keys = {file.key for file in applied}
        return await read_migrated_over(self.of_catalog, self.settings, keys, self.known)

    async def contents(self) -> Contents:
        return await read_contents(self.of_rows)

    async def state(self, applied: Sequence[MigrationFile]) -> _State:
        return _State(await self.catalog(applied), await self.contents())


class _FailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


async def verify(
    settings: Settings,
    *,
    fills: Mapping[str, Fill],
    first: str | None = None,
    on_verified: Callable[[Verified], None] = lambda verified: None,  # noqa: ARG005
) -> Verification:
    """Apply, revert and re-apply each migration; stop at the first that fails.

    ``settings`` name the server. ``fills`` insert rows into the tables, keyed by the app that
    offers them, in that order. ``first`` is the ID to begin with: the migrations before it are only
    applied. ``on_verified`` is called after each. Raises UnknownMigrationError, RowsFailedError,
    and the errors of scratch_database().
    """
    files = migration_files()
    start = _start(files, first)
    done: list[Verified] = []
    async with (
        scratch_database(settings) as database,
        # It keeps its plans, for planning the statement takes longer than running it.
        connected(database, "partman: catalog") as of_catalog,
        connected(database, "partman verify", **KEEPS_NO_STATEMENT) as of_rows,
    ):
        scratch = _Scratch(database, of_catalog, of_rows)
        try:
            await install_extensions(database)
            await _run_earlier(scratch, files[:start])
            catalog = await scratch.catalog(files[:start])
            for number in range(start, len(files)):
                await _fill(scratch, fills)
                before = _State(catalog, await scratch.contents())
                passed, catalog = await _apply_revert_reapply(scratch, before, files[: number + 1])
                done.append(passed)
                on_verified(passed)
        except _FailedError as error:
            return Verification(tuple(done), error.failure)
    return Verification(tuple(done), None)


def rewritten(file: MigrationFile) -> tuple[str, ...]:
    """Return a migration's ``REWRITES``: columns and tables whose rows it changes on purpose."""
    text = file.path.read_text("utf-8")
    if "REWRITES" not in text:  # most have none, and take long to parse
        return ()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "REWRITES" for target in node.targets
        ):
            return tuple(ast.literal_eval(node.value))
    return ()


def _start(files: Sequence[MigrationFile], first: str | None) -> int:
    if first is None:
        return 0
    keys = [file.key for file in files]
    return keys.index(find(keys, first, "Nothing was run."))


async def _apply_revert_reapply(
    scratch: _Scratch, before: _State, files: Sequence[MigrationFile]
) -> tuple[Verified, Catalog]:
    """Apply, revert and re-apply the last of the files; return the catalog, too.

    Raises _FailedError.
    """
    *earlier, file = files
    excused = rewritten(file)
    await _run(scratch, file, Leg.UP)
    applied = await scratch.state(files)
    _require_unchanged(file, Leg.UP, [], before, applied, excused)

    await _run(scratch, file, Leg.DOWN)
    reverted = await scratch.state(earlier)
    _require_unchanged(
        file, Leg.DOWN, compare(before.catalog, reverted.catalog), before, reverted, excused
    )

    await _run(scratch, file, Leg.AGAIN)
    reapplied = await scratch.state(files)
    _require_unchanged(
        file, Leg.AGAIN, compare(applied.catalog, reapplied.catalog), before, reapplied, excused
    )

    tables = before.contents.values()
    passed = Verified(
        migration=file,
        objects=len(applied.catalog.objects),
        rows=sum(len(table.rows) for table in tables),
        filled=sum(bool(table.rows) for table in tables),
        empty=tuple(table.name for table in tables if not table.rows),
    )
    return passed, reapplied.catalog


async def _run_earlier(scratch: _Scratch, files: Sequence[MigrationFile]) -> None:
    """Apply the migrations that are not verified, in one run. Raises _FailedError."""
    if not files:
        return
    try:
        await replay(scratch.settings, {file.key for file in files})
    except PartmanError as error:
        applied = {row.key for row in await read_ledger(scratch.of_rows)}
        failed = next((file for file in files if file.key not in applied), files[-1])
        raise _FailedError(Failure(failed, Leg.UP, error=str(error))) from error


async def _run(scratch: _Scratch, file: MigrationFile, direction: Leg) -> None:
    run = backwards if direction is Leg.DOWN else forwards
    try:
        await run(scratch.settings, file)
    except PartmanError as error:
        raise _FailedError(Failure(file, direction, error=str(error))) from error


def _require_unchanged(
    file: MigrationFile,
    direction: Leg,
    differences: list[Difference],
    before: _State,
    now: _State,
    excused: Collection[str],
) -> None:
    changed = touched(
        before.contents,
        now.contents,
        # A migration may insert rows, which reverting it removes.
        exactly=direction is Leg.DOWN,
        rewritten=excused,
    )
    if differences or changed:
        raise _FailedError(
            Failure(file, direction, differences=tuple(differences), touched=tuple(changed))
        )


async def _fill(scratch: _Scratch, fills: Mapping[str, Fill]) -> None:
    async with connected(scratch.settings, "partman verify") as connection:
        for app, fill in fills.items():
            try:
                await fill(connection)
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                raise RowsFailedError(
                    f"The rows of the app {app} could not be inserted: {type(error).__name__}: "
                    f"{error} ({last.filename}, line {last.lineno}). Only a scratch database was "
                    "changed, and it was dropped. Correct the function that `rows` in the app's "
                    "PARTMAN_CONFIG names, or let it skip what the schema rejects."
                ) from error
