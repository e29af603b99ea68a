"""Whole sessions of pytest with the plugin, run in this process."""

import pytest

from partman.testing import template

PROJECT = """
import pytest
from partman.tables import Partner

async def test_leaves_a_pool_open(partman_database):
    await partman_database.engine.start_connection_pool(min_size=1, max_size=1)

async def test_begins_with_no_pool(as_tenant, make):
    async with as_tenant():
        await make(Partner)

@pytest.mark.partman_database("copy")
async def test_has_a_wrong_mode(partman_database):
    pass

def test_works_without_an_event_loop(partman_database):
    assert partman_database.url
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setattr(template, "_SESSION", f"{pytester.path}")
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(PROJECT)
    return pytester


def test_mistakes_are_told_and_hurt_no_other_test(session: pytest.Pytester) -> None:
    session.makeconftest("from tests.plugin.conftest import partman_settings")
    result = session.runpytest_inprocess("-p", "partman.testing", "-p", "no:xdist")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines_random(
        ["*The test has left a connection pool open*", "*partman_database is 'copy'; it must be*"]
    )


def test_production_is_refused(session: pytest.Pytester) -> None:
    session.makeconftest(
        """
        import dataclasses, pytest
        from partman.settings import Environment
        from tests.plugin.conftest import partman_settings as of_tests

        @pytest.fixture(scope="session")
        def partman_settings(of_tests):
            return dataclasses.replace(of_tests, environment=Environment.PRODUCTION)
        """
    )
    result = session.runpytest_inprocess("-p", "partman.testing", "-p", "no:xdist")
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*PARTMAN_ENV is production: tests create databases*"])
