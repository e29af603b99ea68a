"""A migrated database from which the databases of a session's tests are cloned.

It is a scratch database (database/scratch.py): one that a killed session leaves behind is dropped
by the next command that creates one. The workers of pytest-xdist share it: its name is a digest of
the session and of the migrations' checksums.
"""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import asyncpg
from piccolo.table import Table

from partman.database import embedded
from partman.database.connection import connected, database_url
from partman.database.engine import project_engine
from partman.database.scratch import scratch_database, shared_scratch_database, with_database
from partman.engine import PartmanEngine
from partman.errors import NotAllowedError
from partman.isolation.logins import let_log_in
from partman.migration.ledger.files import migration_files
from partman.migration.verification.rebuild import replay
from partman.settings import Environment, Settings
from partman.testing.shapes import TableShape

_SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
"""The same in all workers of a run."""

_MAY_BECOME = """
SELECT CASE WHEN current_setting('server_version_num')::int >= 160000
    THEN pg_has_role(session_user, oid, 'SET') ELSE pg_has_role(session_user, oid, 'MEMBER') END
FROM pg_roles WHERE rolname = $1
"""

_CAN_LOG_IN = "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1"


@dataclass(frozen=True)
class Template:
    """The migrated database of a session; nothing is connected to it."""

    name: str
    settings: Settings = field(repr=False)
    """They name the server, and its login is the owner."""
    engine: PartmanEngine
    app_role: str | None
    """The role as which the application's connections start; None: as the login itself."""
    superuser_url: str | None
    """The embedded server's administrator; None on another server."""
    shapes: dict[type[Table], TableShape] = field(default_factory=dict, repr=False)

    @asynccontextmanager
    async def clone(self) -> AsyncIterator[Settings]:
        """Create a copy for the duration of a block; yield the owner's settings."""
        async with scratch_database(self.settings, template=self.name) as settings:
            yield settings

    def for_application(self, clone: Settings) -> Settings:
        """Return settings with which the application connects to a clone."""
        name = _database_name(clone.database_url)
        if (url := self.settings.app_database_url) is not None:
            return replace(clone.of_the_application, database_url=with_database(url, name))
        if self.superuser_url is not None and self.app_role is not None:
            url = embedded.as_role(str(clone.database_url), self.app_role)
            return replace(clone, database_url=url)
        return self._starting_as_app(clone)

    def for_rollback(self, clone: Settings) -> tuple[Settings, str | None]:
        """Return settings for one connection that can be the application and the owner.

        And the role that is the owner; None: the login.
        """
        if self.superuser_url is None:
            return self._starting_as_app(clone), None
        name = _database_name(clone.database_url)
        superuser = replace(clone, database_url=with_database(self.superuser_url, name))
        return self._starting_as_app(superuser), urlsplit(str(clone.database_url)).username

    def _starting_as_app(self, settings: Settings) -> Settings:
        if self.app_role is None:
            return settings
        options = settings.driver_options
        session = {**options.get("server_settings", {}), "role": self.app_role}
        return replace(settings, driver_options={**options, "server_settings": session})


@asynccontextmanager
async def migrated_template(settings: Settings) -> AsyncIterator[Template]:
    """Build the template of this session, or wait until another worker has built it.

    ``settings`` name the server, and its login is the owner of what the migrations create. The last
    worker drops it. Raises NotAllowedError in staging and production, and what a run of the
    migrations raises.
    """
    engine = project_engine(PartmanEngine)
    if settings.environment in {Environment.STAGING, Environment.PRODUCTION}:
        raise NotAllowedError(
            f"PARTMAN_ENV is {settings.environment}: tests create databases on the server. Nothing "
            "was done. Set PARTMAN_ENV=test, and let DATABASE_URL name a server for tests."
        )
    checksums = [f"{file.key} {file.checksum}" for file in migration_files()]
    digest = hashlib.sha256("\n".join([_SESSION, *checksums]).encode()).digest()
    async with shared_scratch_database(settings, int.from_bytes(digest[:8]), replay) as name:
        url = None
        if settings.database_url is None:
            server = await asyncio.to_thread(database_url, settings)
            url = embedded.as_role(server, embedded.SUPERUSER)
        role = await _app_role(engine, settings, url)
        yield Template(name, settings, engine, role, url)


async def _app_role(
    engine: PartmanEngine, settings: Settings, superuser_url: str | None
) -> str | None:
    """Return the application's role, if the tests may become it or log in as it."""
    if engine.tenancy is None:
        return None
    role = engine.tenancy.roles.api
    if superuser_url is not None:
        administrator = replace(settings, database_url=superuser_url)
        async with connected(administrator, "partman: tests") as connection:
            if not await connection.fetchval(_CAN_LOG_IN, role):
                # Of two that do it at once, one fails when the other has done it.
                with suppress(asyncpg.InternalServerError):
                    await connection.execute(let_log_in(role))
        return role
    async with connected(settings, "partman: tests") as connection:
        return role if await connection.fetchval(_MAY_BECOME, role) else None


def _database_name(url: str | None) -> str:
    return urlsplit(str(url)).path.removeprefix("/")
