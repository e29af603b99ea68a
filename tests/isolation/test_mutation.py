"""Each protection of the migrated database is taken away: the matrix or the audit must notice."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

import pytest
import pytest_asyncio

from partman.audit import Gap
from tests.database.audit_support import PROJECT
from tests.isolation import mutants, server_mutants
from tests.isolation.conftest import Populated
from tests.isolation.matrix import Matrix
from tests.isolation.mutants import Kind, Mutant
from tests.isolation.tables import Connection
from tests.summary import Record, count, thorough

pytestmark = pytest.mark.same_on_every_version


KINDS = (*mutants.KINDS, *server_mutants.KINDS)


@dataclass(frozen=True)
class Intact:
    """The database before it is changed, and the session that changes it."""

    populated: Populated
    connection: Connection
    matrix: Matrix
    gaps: Collection[Gap]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def intact(populated: Populated) -> AsyncIterator[Intact]:
    async with populated.connected() as connection:
        async with populated.rolled_back(connection):
            matrix = await Matrix.create(connection, populated.world)
            gaps = await _gaps(connection, populated.owner)
        yield Intact(populated, connection, matrix, gaps)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_each_removed_protection_is_detected(
    kind: Kind, intact: Intact, record_property: Record
) -> None:
    populated, connection = intact.populated, intact.connection
    if kind.superuser and not populated.superuser:
        pytest.skip("The tests are no superuser on this server.")
    audit = Auditor(connection, populated.owner, intact.gaps)
    async with populated.rolled_back(connection):
        killed_by = {
            mutant.name: await _killed_by(mutant, kind, intact, audit)
            for mutant in await kind.mutants(connection)
        }

    assert [name for name, checks in killed_by.items() if not checks] == []
    by = Counter(check for checks in killed_by.values() for check in checks)
    record_property(f"killed: {kind.name}", f"{len(killed_by)}, {dict(by)}")
    count(record_property, mutants_killed=len(killed_by))


@dataclass
class Auditor:
    """Whether the audit finds more than it did before the first mutant."""

    connection: Connection
    owner: str
    before: Collection[Gap]
    likely: str | None = None
    """The rule that noticed the last mutant. It notices most of the same kind, and is asked first:
    to ask all of them takes thirty times as long."""

    async def notices(self) -> bool:
        if self.likely is not None and not thorough():
            others = {rule.name for rule in PROJECT.rules} - {self.likely}
            if await self._found(ignore=others):
                return True
        new = await self._found()
        self.likely = next((gap.rule for gap in new), self.likely)
        return bool(new)

    async def _found(self, ignore: Collection[str] = ()) -> set[Gap]:
        return {*await _gaps(self.connection, self.owner, ignore)} - {*self.before}


async def _killed_by(mutant: Mutant, kind: Kind, intact: Intact, audit: Auditor) -> set[str]:
    """Which checks noticed: the audit, and the matrix if that did not or it is to be thorough."""
    checks, connection = set(), intact.connection
    await connection.execute("SAVEPOINT mutant")
    try:
        if not kind.superuser:
            await connection.execute(f"SET LOCAL ROLE {intact.populated.owner}")
        await connection.execute(mutant.sql)
        await connection.execute("RESET ROLE")
        if await audit.notices():
            checks.add("audit")
        tables = {mutant.table} if mutant.table else set()
        is_asked = not checks or (thorough() and tables)
        if is_asked and await intact.matrix.failures(connection, tables, all_of_them=False):
            checks.add("matrix")
    finally:
        await connection.execute("ROLLBACK TO mutant; RELEASE mutant")
    return checks


async def _gaps(connection: Connection, owner: str, ignore: Collection[str] = ()) -> list[Gap]:
    """What `partman check` would say, with the rights that it has."""
    await connection.execute(f"SAVEPOINT audit; SET LOCAL ROLE {owner}")
    try:
        return await PROJECT.gaps(connection, ignore)
    finally:
        await connection.execute("ROLLBACK TO audit; RELEASE audit")
