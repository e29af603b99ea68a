"""What partman makes of a schema, compared with what pg_dump prints."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg

from partman.catalog.compare import compare
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog
from partman.migration.verification.same_expressions import written_alike
from partman.settings import Settings
from tests.catalog import read
from tests.corpus.clients import dump, restore, roles, unlike
from tests.corpus.schemas import Schema
from tests.corpus.tools import MadeSchema
from tests.support import Database, temporary_database


@dataclass(frozen=True)
class Figures:
    """What was found. All but the counts and the load's errors is empty if partman is right."""

    objects: int
    statements: int
    load_errors: Sequence[str]
    """Errors of the schema's own SQL, which is loaded as psql does it."""
    failed: Sequence[str]
    """partman's statements that the server rejected, there and back, with the reason."""
    unwritten: Sequence[str]
    """Objects for which partman says that it knows no statement."""
    silent: Sequence[str]
    """Objects that differ after the statements, and were not announced."""
    unlike: Sequence[str]
    """What pg_dump prints of one database only: the original, and the one made by partman."""
    left: Sequence[str]
    """What pg_dump still prints after the way back to an empty database."""
    drift: Sequence[str]
    """Objects that partman calls different after ``pg_dump | psql``."""
    seconds: float
    """The processor's time for the plan."""

    def mistakes(self) -> str:
        """Return what was not announced, as text; empty if there is nothing."""
        # What cannot be written is missing in the copy, as it was announced.
        unlike = () if self.unwritten else self.unlike
        kinds = {
            "failed": self.failed,
            "silent": self.silent,
            "unlike": unlike,
            "left": self.left,
            "drift": self.drift,
        }
        return "\n".join(f"{kind}: {text}" for kind, texts in kinds.items() for text in texts)


def measure(schema: Schema | MadeSchema) -> Figures:
    """Load a schema, rebuild it, take the copy back to empty, and restore its dump.

    Raises NotToBeHadError if its package cannot be fetched.
    """
    with ExitStack() as stack:
        original, rebuilt, restored = (stack.enter_context(temporary_database()) for _ in range(3))
        stack.enter_context(roles(schema.roles, original, rebuilt, restored))
        errors = schema.load(original)
        expected, empty = read(original.url), read(rebuilt.url)
        nothing, wanted = dump(rebuilt), dump(original)
        began = time.process_time()
        remedy = plan(expected, empty)
        seconds = time.process_time() - began
        forwards = [sql for change in remedy.changes for sql in change.forwards]
        backwards = [sql for change in reversed(remedy.changes) for sql in change.backwards]
        failed = _run(rebuilt, forwards)
        announced = sorted({str(each.reference) for each in remedy.unwritten})
        silent = [
            each
            for each in _differences(original, expected, read(rebuilt.url))
            if each.partition(": ")[0] not in announced
        ]
        made = dump(rebuilt)
        failed += _run(rebuilt, backwards)
        restore(original, restored)
        return Figures(
            objects=len(expected.objects),
            statements=len(forwards),
            load_errors=errors,
            failed=failed,
            unwritten=announced,
            silent=silent,
            unlike=unlike(original, wanted, made),
            left=unlike(original, nothing, dump(rebuilt)),
            drift=_differences(original, expected, read(restored.url)),
            seconds=seconds,
        )


def _differences(server: Database, expected: Catalog, found: Catalog) -> list[str]:
    """Compare as ``partman drift`` does, with copies on the server of a database."""
    settings = Settings.load({"DATABASE_URL": server.url})
    found = asyncio.run(written_alike(settings, expected, found))
    return [
        f"{each.reference}: {each.attribute or each.verdict}" for each in compare(expected, found)
    ]


def _run(database: Database, statements: Sequence[str]) -> list[str]:
    """Run each statement by itself; return those that failed."""

    async def run() -> list[str]:
        failed = []
        connection = await asyncpg.connect(database.url)
        try:
            for sql in statements:
                try:
                    await connection.execute(sql)
                except asyncpg.PostgresError as error:
                    failed.append(f"{error}: {sql}")
        finally:
            await connection.close()
        return failed

    return asyncio.run(run())
