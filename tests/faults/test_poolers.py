"""A real pgbouncer in front of the server: refused in transaction mode, accepted otherwise."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

from partman.database.scratch import scratch_database
from partman.errors import ExitCode, UnsupportedServerError
from partman.settings import Settings
from tests.faults.boundaries import Boundaries, state, whole_state
from tests.faults.pgbouncer import needs_pgbouncer, pgbouncer
from tests.faults.processes import Zygote
from tests.support import Database

FORWARDS = ("piccolo", "migrations", "forwards", "all")

pytestmark = needs_pgbouncer


def test_transaction_pooling_is_refused_with_an_explanation(
    zygote: Zygote, empty_database: Database, tmp_path: Path
) -> None:
    with pgbouncer(empty_database, tmp_path, "transaction") as url:
        refused = zygote.run(
            *FORWARDS, environment=empty_database.environment | {"DATABASE_URL": url}
        )

    assert refused.code == ExitCode.UNSUPPORTED, refused.output
    assert "transaction pooling mode" in refused.stderr
    assert "Nothing was run. Point DATABASE_URL to the server itself" in refused.stderr
    assert state(empty_database.url).bookkeeping == (False, False)


def test_session_pooling_works(
    zygote: Zygote, boundaries: Boundaries, empty_database: Database, tmp_path: Path
) -> None:
    with pgbouncer(empty_database, tmp_path, "session") as url:
        ran = zygote.run(*FORWARDS, environment=empty_database.environment | {"DATABASE_URL": url})

    assert ran.code == 0, ran.output
    left = whole_state(empty_database.url)
    assert left.ledger == boundaries.last
    assert not boundaries.verdict(left)


@pytest.mark.parametrize(("mode", "works"), [("transaction", False), ("session", True)])
def test_scratch_databases_refuse_transaction_pooling(
    empty_database: Database, tmp_path: Path, mode: str, works: bool
) -> None:
    """Whose lock would not say whether we are alive."""

    async def make() -> None:
        async with scratch_database(Settings.load({"DATABASE_URL": url})):
            pass

    refused = pytest.raises(UnsupportedServerError, match="transaction pooling mode")
    with pgbouncer(empty_database, tmp_path, mode) as url, nullcontext() if works else refused:
        asyncio.run(make())
