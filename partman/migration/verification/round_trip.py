"""Every migration up, down and up again, on a scratch database with rows in it."""

import ast
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from partman.catalog.compare import Difference, compare
from partman.catalog.model import Catalog
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.errors import PartmanError, UnknownMigrationError
from partman.migration.ledger.files import MigrationFile, migration_files
from partman.migration.verification.rebuild import (
    backwards,
    forwards,
    install_extensions,
    read_migrated,
)
from partman.migration.verification.row_contents import Contents, Touched, read_contents, touched
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Fill = Callable[["Connection[Record]"], Awaitable[None]]
"""Puts rows into the tables that have none yet, as far as the schema accepts them."""


class RowsFailedError(PartmanError):
    """The function with which an app offers rows has failed."""


class Leg(StrEnum):
    """Which of the three ways a migration went."""

    UP = "up"
    DOWN = "down"
    AGAIN = "up again"


@dataclass(frozen=True)
class Verified:
    """A migration that was found to go there and back."""

    migration: MigrationFile
    objects: int
    """How many objects there are after it, the same both times."""
    rows: int
    """How many rows were there, and came through."""
    filled: int
    """How many tables they were in."""
    empty: tuple[str, ...]
    """The tables that had no rows, so that nothing is known of them."""


@dataclass(frozen=True)
class Failure:
    """What was not as it should be."""

    migration: MigrationFile
    direction: Leg
    error: str | None = None
    """What stopped it."""
    differences: tuple[Difference, ...] = ()
    """In the catalog: going down, from what was there before it; up again, from the first time."""
    touched: tuple[Touched, ...] = ()
    """Tables whose rows are not as they were before the migration."""


@dataclass(frozen=True)
class Verification:
    """What was verified, up to the first failure."""

    verified: tuple[Verified, ...]
    failure: Failure | None


@dataclass(frozen=True)
class _State:
    catalog: Catalog
    contents: Contents


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
    """Take each migration up, down and up again; stop at the first that does not stand it.

    ``settings`` say on which server. ``fills`` put rows into the tables, by the app that offers
    them, in that order. ``first`` is the ID to begin with: those before it are run, and no more.
    ``on_verified`` is told of each. Raises UnknownMigrationError, RowsFailedError, and what
    scratch_database() raises.
    """
    files = migration_files()
    start = _start(files, first)
    done: list[Verified] = []
    async with scratch_database(settings) as scratch:
        try:
            await install_extensions(scratch)
            for file in files[:start]:
                await _go(scratch, file, Leg.UP)
            for number in range(start, len(files)):
                await _fill(scratch, fills)
                done.append(await _there_and_back(scratch, files[: number + 1]))
                on_verified(done[-1])
        except _FailedError as error:
            return Verification(tuple(done), error.failure)
    return Verification(tuple(done), None)


def rewritten(file: MigrationFile) -> tuple[str, ...]:
    """Return a migration's ``REWRITES``: columns, and tables, that it changes on purpose."""
    for node in ast.parse(file.path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "REWRITES" for target in node.targets
        ):
            return tuple(ast.literal_eval(node.value))
    return ()


def _start(files: Sequence[MigrationFile], first: str | None) -> int:
    if first is None:
        return 0
    ids = [file.id for file in files]
    if first not in ids:
        raise UnknownMigrationError(
            f"There is no migration {first}. Nothing was run. The newest is "
            f"{ids[-1] if ids else 'none'}; all of them are listed by: partman status"
        )
    return ids.index(first)


async def _there_and_back(scratch: Settings, files: Sequence[MigrationFile]) -> Verified:
    """Take the last of the files up, down, and up again. Raises _FailedError."""
    *earlier, file = files
    excused = rewritten(file)
    before = await _look(scratch, earlier)
    await _go(scratch, file, Leg.UP)
    there = await _look(scratch, files)
    _refuse(file, Leg.UP, [], before, there, excused)

    await _go(scratch, file, Leg.DOWN)
    back = await _look(scratch, earlier)
    _refuse(file, Leg.DOWN, compare(before.catalog, back.catalog), before, back, excused)

    await _go(scratch, file, Leg.AGAIN)
    again = await _look(scratch, files)
    _refuse(file, Leg.AGAIN, compare(there.catalog, again.catalog), before, again, excused)

    tables = before.contents.values()
    return Verified(
        migration=file,
        objects=len(there.catalog.objects),
        rows=sum(len(table.rows) for table in tables),
        filled=sum(bool(table.rows) for table in tables),
        empty=tuple(table.name for table in tables if not table.rows),
    )


async def _go(scratch: Settings, file: MigrationFile, direction: Leg) -> None:
    run = backwards if direction is Leg.DOWN else forwards
    try:
        await run(scratch, file)
    except PartmanError as error:
        raise _FailedError(Failure(file, direction, error=str(error))) from error


def _refuse(
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
        # Going up may bring rows, and going down takes them away again.
        exactly=direction is Leg.DOWN,
        rewritten=excused,
    )
    if differences or changed:
        raise _FailedError(
            Failure(file, direction, differences=tuple(differences), touched=tuple(changed))
        )


async def _look(scratch: Settings, applied: Sequence[MigrationFile]) -> _State:
    catalog = await read_migrated(scratch, {file.key for file in applied})
    async with connected(scratch, "partman verify") as connection:
        return _State(catalog, await read_contents(connection))


async def _fill(scratch: Settings, fills: Mapping[str, Fill]) -> None:
    async with connected(scratch, "partman verify") as connection:
        for app, fill in fills.items():
            try:
                await fill(connection)
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                raise RowsFailedError(
                    f"The rows of the app {app} could not be inserted: {type(error).__name__}: "
                    f"{error} ({last.filename}, line {last.lineno}). Only a scratch database was "
                    "changed, and it is gone. Correct the function that rows in the app's "
                    "PARTMAN_CONFIG names, or have it leave out what the schema does not accept."
                ) from error
