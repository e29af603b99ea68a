"""What a trial changes on the server is told from what other sessions change meanwhile."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from partman.errors import NotAllowedError
from partman.plan.server_objects import ServerObjects
from partman.settings import Settings
from tests.catalog import Connection
from tests.shared import unique_name
from tests.support import Database, execute

CHANGES = {
    "an attribute": "ALTER ROLE {role} CONNECTION LIMIT 5",
    "a role": "DROP ROLE {role}",
    "a membership": "REVOKE {group} FROM {role}",
}
REFUSED = "It was not tried on this server"
HIDDEN = "DO $$ BEGIN END $$"
"""A statement that may change roles, and whose text does not tell."""


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, empty_database: Database) -> Iterator[str]:
    """A statement that changes something of the server."""
    role, group = unique_name(), unique_name()
    made = (f"CREATE ROLE {role}", f"CREATE ROLE {group}", f"GRANT {group} TO {role}")
    execute(empty_database.url, *made)
    yield CHANGES[request.param].format(role=role, group=group)
    execute(empty_database.url, f"DROP ROLE IF EXISTS {role}, {group}")


@contextlib.asynccontextmanager
async def tracked(database: Database) -> AsyncIterator[tuple[ServerObjects, Connection]]:
    """Return the objects of a live server, and the session of a trial on it."""
    settings = Settings.load({"DATABASE_URL": database.url})
    objects = await ServerObjects.before_trial(settings, is_live=True)
    trial = await asyncpg.connect(database.url)
    try:
        yield objects, trial
    finally:
        await trial.close()


async def test_what_another_session_changes_is_passed_over(
    empty_database: Database, change: str
) -> None:
    other = await asyncpg.connect(empty_database.url)
    try:
        async with (
            tracked(empty_database) as (objects, trial),
            trial.transaction(),
            objects.tracking(trial, HIDDEN),
        ):
            await other.execute(change)
    finally:
        await other.close()


async def test_what_the_trial_changes_is_refused(empty_database: Database, change: str) -> None:
    async with tracked(empty_database) as (objects, trial):
        with pytest.raises(NotAllowedError, match=REFUSED):
            async with trial.transaction(), objects.tracking(trial, HIDDEN):
                await trial.execute(change)


async def test_without_a_transaction_nothing_tells_whose_change_it_is(
    empty_database: Database, change: str
) -> None:
    async with tracked(empty_database) as (objects, trial):
        with pytest.raises(NotAllowedError, match=REFUSED):
            async with objects.tracking(trial, HIDDEN):
                await trial.execute(change)
