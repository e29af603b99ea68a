"""The plugin's tests run on the tests' server, and clone the tests' migrated database."""

import pytest

from partman.database.engine import project_engine
from partman.engine import PartmanEngine
from partman.settings import Settings
from partman.testing.template import Template
from tests.foreign.conftest import kind, login_of, open_shop, shop
from tests.support import Database, as_role, server_url

__all__ = ["kind", "login_of", "open_shop", "partman_template", "shop"]


@pytest.fixture(scope="session")
def partman_template(template: Database, application_role: str) -> Template:
    """As the plugin's own, which test_sessions.py has the migrations build."""
    settings = Settings.load(
        {
            "DATABASE_URL": server_url(),
            "PARTMAN_APP_DATABASE_URL": as_role(server_url(), application_role),
            "PARTMAN_ENV": "test",
        }
    )
    engine = project_engine(PartmanEngine)
    return Template(template.name, settings, engine, app_role=None, superuser_url=None)
