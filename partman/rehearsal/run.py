"""Run the pending migrations on a copy: forwards and measured, all the way back, forwards again."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import headline
from partman.database.connection import connect
from partman.errors import PartmanError
from partman.migration.ledger.files import find_migration_file
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.status import MigrationState, Status
from partman.migration.runner.losses import is_allowed
from partman.migration.runner.observer import observing_rows
from partman.migration.runner.piccolo_commands import run_backwards, run_forwards
from partman.migration.verification.rebuild import quietly, read_migrated, working_on
from partman.migration.verification.round_trip import rewritten
from partman.plan.server_objects import ServerObjects
from partman.plan.state import read_state
from partman.rehearsal.digest import Digest, differences, read_digest
from partman.rehearsal.judge import judge
from partman.rehearsal.look import Stopwatch
from partman.rehearsal.model import RehearsedMigration, Return
from partman.rehearsal.recorder import RowRecorder, Unmeasured
from partman.rehearsal.scale import Scale
from partman.settings import Settings

Report = Callable[[str], object]

_NAME = "partman rehearse"
_TEMPORARY = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True)
class _State:
    catalog: Catalog
    digest: Digest


class Run:
    """A rehearsal on one copy."""

    def __init__(
        self,
        settings: Settings,
        live: Settings,
        server_objects: ServerObjects,
        scale: Mapping[str, Scale],
        report: Report,
    ) -> None:
        """Take the settings that name the copy.

        ``live`` has the policy of the database that it is a copy of. ``scale``: how many of its
        rows the copy has, by table, if it is a sample.
        """
        self._settings = replace(settings, policy=replace(live.policy, data_loss=True))
        self._live = live
        self._server_objects = server_objects
        self._scale = scale
        self._report = report

    async def forwards_and_back(
        self, status: Status, *, back: bool
    ) -> tuple[list[RehearsedMigration], list[str]]:
        """Run what is pending; return the results, and the IDs of what was not tried."""
        applied = {migration.key for migration in status.applied}
        done: list[RehearsedMigration] = []
        states: list[_State] = []
        if back:
            states.append(await self._state(applied))
        for pending in status.pending:
            self._report(f"Running {pending.id} {pending.description}")
            done.append(await self._measure(pending))
            if done[-1].error:
                break
            applied.add(pending.key)
            if back:
                states.append(await self._state(applied))
        passed = [each for each in done if not each.error]
        returned = await self._back_and_again(passed, states, applied) if back else {}
        skipped = Return(None, "--forwards-only")
        results = [
            replace(each, back=returned.get(each.key, each.back if back else skipped))
            for each in done
        ]
        return results, [each.id for each in status.pending[len(done) :]]

    # Forwards

    async def _measure(self, pending: MigrationState) -> RehearsedMigration:
        watch = Stopwatch()
        error = None
        async with AsyncExitStack() as stack:
            meters = await connect(self._settings, application_name=_NAME)
            stack.callback(meters.terminate)
            state = await read_state(meters)
            scale = {
                oid: self._scale[of.name]
                for oid, of in state.tables.items()
                if of.name in self._scale
            }
            recorder = RowRecorder(meters, self._server_objects, state, scale)
            await recorder.prepare()
            before = await meters.fetchval(_TEMPORARY)
            started = watch.now()
            try:
                with self._working(), observing_rows(recorder):
                    await run_forwards(pending.app, pending.id)
            except PartmanError as raised:
                error = str(raised)
            seconds = watch.now() - started - recorder.asked
            temporary = await meters.fetchval(_TEMPORARY) - before
        measured = RehearsedMigration(
            app=pending.app,
            id=pending.id,
            description=pending.description,
            seconds=seconds,
            statements=recorder.statements,
            losses=recorder.losses,
            may_lose_data=is_allowed(pending.id, self._live),
            temporary=max(0, temporary),
            error=error,
        )
        level, reasons = judge(measured, sampled=bool(self._scale))
        return replace(measured, level=level, reasons=reasons)

    # Back, and forwards again

    async def _back_and_again(
        self,
        passed: Sequence[RehearsedMigration],
        states: Sequence[_State],
        applied: Collection[MigrationKey],
    ) -> dict[MigrationKey, Return]:
        """``states`` are those before the first migration and after each."""
        now = set(applied)
        found, first = await self._back(passed, states, now)
        stopped = next((key.id for key, each in found.items() if each.works is False), None)
        new: set[str] = set()
        for number, each in list(enumerate(passed))[first:]:
            if stopped is not None:
                why = f"reverted, but not run again, because reverting {stopped} does not work"
                found[each.key] = Return(None, why)
                continue
            # A value that is new may be the time, or the next one of a sequence.
            new |= {of.table for of in each.all_rows if of.inserted or of.changed}
            found[each.key] = await self._again(each, states[number + 1], now, new)
            if not found[each.key].works:
                break
        return found

    async def _back(
        self,
        passed: Sequence[RehearsedMigration],
        states: Sequence[_State],
        applied: set[MigrationKey],
    ) -> tuple[dict[MigrationKey, Return], int]:
        """Revert as far as possible; return what stopped it, and the first that was reverted."""
        for number in reversed(range(len(passed))):
            each = passed[number]
            newer = [key.id for key in applied if key.app == each.app and key.id > each.id]
            if newer:
                why = f"{min(newer)}, which is newer, is applied"
                return {each.key: Return(None, why)}, number + 1
            self._report(f"Reverting {each.id}")
            error = await self._try(each, back=True)
            applied.discard(each.key)
            if error is None:
                error = await self._compared(each, states[number], applied, "reverting")
            if error is not None:
                return {each.key: Return(False, error)}, number + 1
        return {}, 0

    async def _again(
        self,
        migration: RehearsedMigration,
        expected: _State,
        applied: set[MigrationKey],
        new: Collection[str],
    ) -> Return:
        """Run it again; ``new``: tables that got new values by now, and need only be counted."""
        self._report(f"Running {migration.id} again")
        error = await self._try(migration, back=False)
        applied.add(migration.key)
        if error is None:
            error = await self._compared(migration, expected, applied, "running it again", new)
        return Return(error is None, error or "")

    async def _try(self, migration: RehearsedMigration, *, back: bool) -> str | None:
        run = run_backwards if back else run_forwards
        try:
            with self._working(), observing_rows(Unmeasured(self._server_objects)):
                await run(migration.app, migration.id)
        except PartmanError as error:
            return str(error)
        return None

    async def _compared(
        self,
        migration: RehearsedMigration,
        expected: _State,
        applied: set[MigrationKey],
        done: str,
        only_counted: Collection[str] = (),
    ) -> str | None:
        """Return how the database differs from what it was at the same version; None if not."""
        now = await self._state(applied)
        found = [
            " ".join(headline(each).split()) for each in compare(expected.catalog, now.catalog)
        ]
        file = find_migration_file(migration.key)
        excused = rewritten(file) if file else ()
        found += differences(
            expected.digest, now.digest, rewritten=excused, only_counted=only_counted
        )
        if not found:
            return None
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{done} leaves a difference: {found[0]}{more}"

    async def _state(self, applied: set[MigrationKey]) -> _State:
        self._report("Comparing the rows")
        catalog = await read_migrated(self._settings, applied)
        connection = await connect(self._settings, application_name=_NAME)
        try:
            return _State(catalog, await read_digest(connection))
        finally:
            connection.terminate()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with working_on(self._settings), quietly():
            yield
