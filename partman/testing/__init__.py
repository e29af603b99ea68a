"""A pytest plugin for the tests of an application on a multi-tenant database.

``pytest_plugins = ["partman.testing"]`` in ``conftest.py`` brings the fixtures ``as_tenant``,
``make``, ``as_owner`` and ``partman_database``. See docs/testing.md.

PYTEST_DONT_REWRITE: nothing here asserts for a test.
"""

from partman.testing.database import MigratedDatabase, OwnerTransaction
from partman.testing.factory import Factory, RowNotMadeError
from partman.testing.plugin import (
    AsTenant,
    _database_to_roll_back,
    as_owner,
    as_tenant,
    make,
    partman_database,
    partman_loop,
    partman_settings,
    partman_template,
    pytest_addoption,
    pytest_configure,
)

__all__ = [
    "AsTenant",
    "Factory",
    "MigratedDatabase",
    "OwnerTransaction",
    "RowNotMadeError",
    "_database_to_roll_back",
    "as_owner",
    "as_tenant",
    "make",
    "partman_database",
    "partman_loop",
    "partman_settings",
    "partman_template",
    "pytest_addoption",
    "pytest_configure",
]
