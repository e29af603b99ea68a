"""The connection and the transaction that Piccolo gets in a migration run."""

from types import TracebackType
from typing import Any

from piccolo.engine.postgres import PostgresEngine, PostgresTransaction

from partman.migration.runner.reach import returns_rows
from partman.migration.runner.run import MigrationRun
from partman.piccolo_cli import reporting_errors


class RunConnection:
    """Replaces the connection that Piccolo opens and closes for each statement."""

    def __init__(self, run: MigrationRun) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run.raw, name)

    async def fetch(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Run a statement; return its rows."""

        async def run(text: str) -> Any:
            if arguments or options or returns_rows(text):
                return await self._run.raw.fetch(text, *arguments, **options)
            await self._run.raw.execute(text)  # one message, and not two with an answer each
            return []

        return await self._run.statement(sql, arguments, run)

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """Run a statement, or several; return the last one's command tag."""

        async def run(text: str) -> Any:
            return await self._run.raw.execute(text, *arguments, **options)

        return await self._run.statement(sql, arguments, run)

    async def close(self) -> None:
        """Do nothing: the connection is the run's."""


class RunTransaction(PostgresTransaction):
    """A migration's transaction, which the run commits together with the ledger row."""

    def __init__(self, engine: PostgresEngine, run: MigrationRun, allow_nested: bool) -> None:
        super().__init__(engine, allow_nested)
        self._run = run

    async def get_connection(self) -> RunConnection:
        """Return the run's connection."""
        return RunConnection(self._run)

    async def begin(self) -> None:
        """Begin the transaction on the server, with a new guard."""
        with reporting_errors():
            await self._run.begin()

    async def commit(self) -> None:
        """Keep the transaction open for the ledger row."""
        self._run.hold()
        self._committed = True

    async def rollback(self) -> None:
        """Roll the transaction back."""
        await self._run.roll_back()
        self._rolled_back = True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._parent is not None or error is None:
            return await super().__aexit__(kind, error, trace)
        self.engine.current_transaction.reset(self.context)
        explained = await self._run.failed(error)
        if explained is error:
            return False
        with reporting_errors():
            raise explained from error
