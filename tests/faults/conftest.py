"""What the fault tests share."""

import pytest

from tests import shared
from tests.faults.boundaries import Boundaries, observing
from tests.faults.processes import Zygote
from tests.support import temporary_database


@pytest.fixture(scope="session")
def boundaries(zygote: Zygote) -> Boundaries:
    """Those of the project's own migrations; one worker has found them for all."""
    return Boundaries.read(shared.once("boundaries", lambda: _found(zygote).written()))


def _found(zygote: Zygote) -> Boundaries:
    """Find them by running the migrations one by one."""
    contents = {}
    with temporary_database() as database, observing(database.url) as state:
        before = None
        while (now := state()) != before:
            contents[now.ledger] = now.contents
            before = now
            one = zygote.run(
                "piccolo", "migrations", "forwards", "partman", "1",
                environment=database.environment,
            )  # fmt: skip
            assert one.code == 0, one.output
    assert len(contents) >= 4
    return Boundaries(contents)
