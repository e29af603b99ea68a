"""A connection that is lost at the COMMIT itself: the one moment when a client cannot know.

The answer may be lost on its way back, or the request on its way out. The message says which of
the two it was, and is held here against the database.
"""

import pytest

from partman.errors import ExitCode
from tests.faults.boundaries import Boundaries, whole_state
from tests.faults.cutting import CuttingProxy
from tests.faults.processes import Zygote
from tests.summary import Record, count
from tests.support import Database

pytestmark = pytest.mark.same_on_every_version

COMMIT = b"COMMIT\x00"


@pytest.mark.parametrize("migration", [1, 2, 3])
@pytest.mark.parametrize("arrives", [True, False], ids=["answer_lost", "request_lost"])
def test_a_connection_lost_at_commit_is_reported_with_the_outcome(
    zygote: Zygote,
    boundaries: Boundaries,
    empty_database: Database,
    migration: int,
    arrives: bool,
    record_property: Record,
) -> None:
    with CuttingProxy(empty_database, at_request=(COMMIT, migration), arrives=arrives) as proxy:
        environment = empty_database.environment | {"DATABASE_URL": proxy.url}
        ended = zygote.run("piccolo", "migrations", "forwards", "all", environment=environment)

    assert proxy.has_cut.is_set()
    assert ended.code == ExitCode.UNAVAILABLE
    left = whole_state(empty_database.url)
    assert len(left.ledger) == (migration if arrives else migration - 1)
    which = sorted(boundaries.last)[migration - 1]
    assert f"The connection was lost while {which} was being committed. " in ended.stderr
    assert ("It was committed and recorded." in ended.stderr) is arrives
    assert ("It was rolled back." in ended.stderr) is not arrives
    assert ended.stderr.count("connection was lost") == 1
    assert "the database is as it was" not in ended.stderr
    assert not boundaries.verdict(left)
    count(record_property, dropped_connections=1)
