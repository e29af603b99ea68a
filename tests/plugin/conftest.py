"""The plugin's tests run on the tests' server."""

import pytest

from partman.settings import Settings
from tests.foreign.conftest import open_shop, shop
from tests.support import server_url

__all__ = ["open_shop", "partman_settings", "shop"]


@pytest.fixture(scope="session")
def partman_settings() -> Settings:
    return Settings.load({"DATABASE_URL": server_url(), "PARTMAN_ENV": "test"})
