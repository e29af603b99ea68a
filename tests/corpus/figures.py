"""What partman makes of a schema, compared with what pg_dump prints."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg

from partman.catalog.compare import compare
from partman.catalog.ddl.change import Remedy
from partman.catalog.ddl.remedy import plan
from partman.catalog.model import Catalog, Reference
from partman.migration.verification.isolation_first import Isolation
from partman.migration.verification.same_expressions import written_alike
from partman.migration.verification.tried_remedy import try_remedy
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
        bare = [_bare(reference) for reference in self.unwritten]
        unlike = [
            text
            for text in self.unlike
            if not any(name in text.partition(": ")[0] for name in bare)
        ]
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
        original, first, second, restored = (
            stack.enter_context(temporary_database()) for _ in range(4)
        )
        stack.enter_context(roles(schema.roles, original, first, second, restored))
        errors = schema.load(original)
        expected, empty = read(original.url), read(first.url)
        nothing, wanted = dump(first), dump(original)
        began = time.process_time()
        remedy = plan(expected, empty)
        seconds = time.process_time() - began
        rebuilt, sql = first, _planned(remedy)
        failed = _run(rebuilt, sql.forwards)
        if failed:
            rebuilt, sql = second, _tried(original, expected, empty)
            failed = _run(rebuilt, sql.forwards)
        found = read(rebuilt.url)
        silent = [
            each
            for each in _differences(original, expected, found)
            if each.partition(": ")[0] not in sql.announced
        ]
        made = dump(rebuilt)
        failed += _run(rebuilt, sql.backwards or _planned(plan(empty, found)).forwards)
        restore(original, restored)
        return Figures(
            objects=len(expected.objects),
            statements=len(sql.forwards),
            load_errors=errors,
            failed=failed,
            unwritten=sql.announced,
            silent=silent,
            unlike=unlike(original, wanted, made),
            left=unlike(original, nothing, dump(rebuilt)),
            drift=_differences(original, expected, read(restored.url)),
            seconds=seconds,
        )


def _bare(reference: str) -> str:
    """Return the name of an object, or of its table, without its schema: as in a dump."""
    name, _, _ = reference.partition("(")
    name, _, _ = name.partition(" USING ")
    return name.rpartition(".")[2].strip('"')


@dataclass(frozen=True)
class _Sql:
    forwards: Sequence[str]
    backwards: Sequence[str]
    announced: Sequence[str]
    """Objects for which there is no SQL, and is said to be none."""


def _planned(remedy: Remedy) -> _Sql:
    return _Sql(
        [sql for change in remedy.changes for sql in change.forwards],
        [sql for change in reversed(remedy.changes) for sql in change.backwards],
        sorted({str(each.reference) for each in remedy.unwritten}),
    )


def _tried(server: Database, expected: Catalog, found: Catalog) -> _Sql:
    """Return the SQL as ``partman drift`` offers it, once it has tried it."""
    settings = Settings.load({"DATABASE_URL": server.url})
    tried = asyncio.run(try_remedy(settings, expected, found, Isolation(frozenset())))
    announced = sorted({str(each.reference) for each in tried.by_hand})
    return _Sql([statement.sql for statement in tried.statements], [], announced)


def _differences(server: Database, expected: Catalog, found: Catalog) -> list[str]:
    """Compare as ``partman drift`` does, with copies on the server of a database."""
    settings = Settings.load({"DATABASE_URL": server.url})
    found = asyncio.run(written_alike(settings, expected, found))
    return [
        f"{each.reference}: {each.attribute or each.verdict}"
        for each in compare(expected, found)
        # pg_dump does not print what concerns the database.
        if each.object.parent != Reference("database", "") and each.object.kind != "setting"
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
