"""The session of a run, and the connections beside it."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from partman.database.blockers import Blockers
from partman.database.distributed import Distribution
from partman.database.wait import connected_when_ready
from partman.migration.ledger import lock
from partman.migration.runner import distributed_run
from partman.migration.runner.tables_with_rows import SideReader
from partman.migration.runner.witnesses import Witnesses
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")


@dataclass(frozen=True)
class RunSession:
    """The session of a run, in which its transactions follow each other."""

    connection: "Connection[Record]"
    settings: Settings
    side: SideReader
    """Reads over another connection."""
    blockers: Blockers
    """Finds out for whom a statement waits."""
    put_back: str = ""
    """The SQL that puts role and settings back."""
    ledger_first: str = ""
    """The SQL that lets Piccolo find its ledger before a temporary table of its name."""
    is_holder: str = "false"
    """The condition, in SQL, that a server process has the migration lock."""
    no_event_triggers: bool = False
    """Whether no event trigger is enabled in the database."""
    distribution: Distribution | None = None
    """How the database is distributed; None for a single server."""
    undivided: frozenset[str] = frozenset()
    """The tables with the tenant's column that ``partman distribute`` left on the coordinator."""
    witnesses: Witnesses = field(default_factory=Witnesses)
    """Of a distributed database: who has rows of its tables."""

    def set_local(self, statements: str) -> str:
        """Return SET LOCAL statements as they can be sent together with others."""
        return statements if self.distribution is None else distributed_run.alone(statements)

    def close_others(self) -> None:
        """Close the connections beside the run's."""
        self.side.close()
        self.blockers.close()

    def another_connection(self) -> "contextlib.AbstractAsyncContextManager[Connection[Record]]":
        """Connect once more, as when the connection is lost. Raises PartmanError."""
        return connected_when_ready(self.settings, patience=10, report=logger.info)

    @contextlib.asynccontextmanager
    async def after_lost_commit(
        self, report: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator["Connection[Record]"]:
        """Connect once more when the server process whose COMMIT was lost has ended.

        ``report`` gets messages about the wait for it. Raises PartmanError.
        """
        async with self.another_connection() as connection:
            # When the lock is free, the server process that was committing has ended.
            await lock.acquire(connection, patience=10, report=report)
            yield connection
