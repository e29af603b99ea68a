"""The plugin's tests run on the tests' server."""

import pytest

from partman.settings import Settings
from tests.foreign.conftest import open_shop, shop
from tests.support import as_role, server_url

__all__ = ["open_shop", "partman_settings", "shop"]


@pytest.fixture(scope="session")
def partman_settings(application_role: str) -> Settings:
    return Settings.load(
        {
            "DATABASE_URL": server_url(),
            "PARTMAN_APP_DATABASE_URL": as_role(server_url(), application_role),
            "PARTMAN_ENV": "test",
        }
    )
