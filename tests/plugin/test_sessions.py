"""Whole sessions of pytest with the plugin, run in this process."""

import pytest

from partman.testing import template

PROJECT = """
import pytest
from partman.tables import Partner

async def test_leaves_a_pool_open(partman_database):
    engine = partman_database.engine
    await engine.start_connection_pool(min_size=1, max_size=1)
    await engine.pool.close()  # or the sockets would stay open in this process

async def test_begins_with_no_pool(as_tenant, make):
    async with as_tenant():
        await make(Partner)

@pytest.mark.partman_database("copy")
async def test_has_a_wrong_mode(partman_database):
    pass

def test_works_without_an_event_loop(partman_database):
    assert partman_database.url
"""

CONFTEST = """
import pytest
from partman.settings import Environment, Settings
from tests.support import server_url

@pytest.fixture(scope="session")
def partman_settings():
    variables = {{"DATABASE_URL": server_url(), "PARTMAN_ENV": Environment.{environment}}}
    return Settings.load(variables)
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setattr(template, "_SESSION", f"{pytester.path}")
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(PROJECT)
    return pytester


def test_mistakes_are_told_and_hurt_no_other_test(session: pytest.Pytester) -> None:
    session.makeconftest(CONFTEST.format(environment="TEST"))
    result = session.runpytest_inprocess("-p", "partman.testing", "-p", "no:xdist")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines_random(
        ["*The test has left a connection pool open*", "*partman_database is 'copy'; it must be*"]
    )


def test_production_is_refused(session: pytest.Pytester) -> None:
    session.makeconftest(CONFTEST.format(environment="PRODUCTION"))
    result = session.runpytest_inprocess("-p", "partman.testing", "-p", "no:xdist")
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*PARTMAN_ENV is production: tests create databases*"])
