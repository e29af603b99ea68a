"""Schemas that a tool makes: Django's, pg-boss's and Piccolo's apps, and this project's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from tests import shared
from tests.corpus.clients import psql
from tests.corpus.packages import Npm, Package, PyPI
from tests.database.catalog_on_server import VIEWS
from tests.database.catalog_sample import SAMPLE
from tests.environment import clean_environment
from tests.support import Database, execute, migrate, temporary_database

DJANGO_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.flatpages",
    "django.contrib.redirects",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.usersessions",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_email",
    "django_otp.plugins.otp_hotp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "guardian",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_simplejwt.token_blacklist",
    "reversion",
    "taggit",
]
_PICCOLO_CONF = """
from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

DB = PostgresEngine(config={config!r})
APP_REGISTRY = AppRegistry(apps=[
    "piccolo.apps.user.piccolo_app",
    "piccolo_api.session_auth.piccolo_app",
    "piccolo_api.token_auth.piccolo_app",
    "piccolo_api.mfa.authenticator.piccolo_app",
])
"""


@dataclass(frozen=True)
class MadeSchema:
    """A schema that a tool brings into a database."""

    name: str
    package: Package | str
    make: Callable[[Database], Sequence[str]]
    roles: Sequence[str] = ()
    quick: bool = False
    """Whether the gate tries it too."""

    def load(self, database: Database) -> Sequence[str]:
        """Bring the schema into a database; return the errors. Raises NotToBeHadError."""
        return self.make(database)


def django_migrations() -> Sequence[tuple[str, str]]:
    """Return what ``sqlmigrate`` prints for each migration of the apps, in their order."""
    return [(name, sql) for name, sql in json.loads(shared.once("django", _sqlmigrate))]


def _sqlmigrate() -> str:
    packages = PyPI("django").folder()
    with temporary_database() as database:
        script = str(Path(__file__).with_name("django_sql.py"))
        done = subprocess.run(
            [sys.executable, script, *_address(database), *DJANGO_APPS],
            env={**os.environ, "PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _django(database: Database) -> Sequence[str]:
    return psql(database, "\n".join(sql for _, sql in django_migrations()))


def _pg_boss(database: Database) -> Sequence[str]:
    """Run the SQL that it prints for those who want to run it themselves."""
    package = Npm("pg-boss", "10.4.2", needs=True).folder()
    printed = subprocess.run(
        ["node", "-e", "console.log(require('pg-boss').getConstructionPlans('boss'))"],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return psql(database, printed)


def _piccolo(database: Database) -> Sequence[str]:
    """Run the migrations of Piccolo's own apps with stock Piccolo."""
    host, port, user, name = _address(database)
    config = {"host": host, "port": int(port), "user": user, "database": name}
    with TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        (folder / "stock_conf.py").write_text(_PICCOLO_CONF.format(config=config))
        done = subprocess.run(
            [sys.executable, "-m", "piccolo.main", "migrations", "forwards", "all"],
            env=clean_environment(PICCOLO_CONF="stock_conf", PYTHONPATH=str(folder)),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def _ours(database: Database) -> Sequence[str]:
    migrate(database)
    return []


def _sample(database: Database) -> Sequence[str]:
    execute(database.url, ROLES, *SAMPLE, *VIEWS)
    return []


def _address(database: Database) -> Sequence[str]:
    """Return host, port, user and database."""
    parts = urlsplit(database.url)
    options = parse_qs(parts.query)
    host = options.get("host", [parts.hostname or ""])[0]
    port = options.get("port", [str(parts.port or 5432)])[0]
    return host, port, parts.username or "", database.name


MADE_SCHEMAS = [
    MadeSchema("django", PyPI("django"), _django, quick=True),
    MadeSchema("pg-boss", Npm("pg-boss", "10.4.2", needs=True), _pg_boss, quick=True),
    MadeSchema("piccolo", "Piccolo's own apps", _piccolo, quick=True),
    MadeSchema("partman", "this project's tables", _ours, quick=True),
    MadeSchema("sample", "the tests' sample of all kinds", _sample, quick=True),
]
