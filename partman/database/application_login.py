"""With which login the application connects: never the one that runs the migrations.

Elsewhere the deployment says it, by DATABASE_URL or PARTMAN_APP_DATABASE_URL. On the embedded
server it is the tenancy's role ``api``, so that a forgotten ``tenant()`` is "permission denied"
in development too.
"""

from dataclasses import replace

import asyncpg

from partman.database.connection import connected, database_url
from partman.errors import NotIsolatedError
from partman.isolation import Tenancy
from partman.isolation.logins import let_log_in
from partman.settings import Settings


def application_settings(settings: Settings, tenancy: Tenancy | None) -> Settings:
    """Return the settings with which the application connects. Starts the embedded server."""
    if settings.app_database_url is not None:
        return settings.of_the_application
    if settings.database_url is not None or tenancy is None:
        return settings
    from partman.database import embedded  # not needed with a DATABASE_URL

    url = embedded.start(settings.data_directory)
    return replace(settings, database_url=embedded.as_role(url, tenancy.roles.api))


async def allow_login(settings: Settings, tenancy: Tenancy, refused: Exception) -> bool:
    """Let the role ``api`` of the embedded server log in, if that is why it was refused.

    ``settings`` are those of the server's owner. A migration creates the role without a login.
    Raises NotIsolatedError if it has not run yet.
    """
    if not isinstance(refused.__cause__, asyncpg.InvalidAuthorizationSpecificationError):
        return False
    from partman.database import embedded

    role = tenancy.roles.api
    url = embedded.as_role(database_url(settings), embedded.SUPERUSER)
    async with connected(replace(settings, database_url=url)) as connection:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            raise NotIsolatedError(
                f"The embedded server has no role {role}, with which the application logs in. "
                "Nothing was run. Migrate the database: piccolo migrations forwards all"
            ) from refused
        await connection.execute(let_log_in(role))
    return True
