"""The PostgreSQL extensions that ``piccolo_conf`` asks for."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import asyncpg

from partman.database.explain import server_message
from partman.errors import UnsupportedServerError

if TYPE_CHECKING:
    from asyncpg import Connection, Record

logger = logging.getLogger("partman.run")


async def create_extensions(connection: "Connection[Record]", names: Iterable[str]) -> None:
    """Create the extensions that are missing, each by itself.

    Warns, as Piccolo does, if the role may not create one. Raises UnsupportedServerError if the
    server does not have it.
    """
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {quoted}")
        except asyncpg.InsufficientPrivilegeError as error:
            logger.warning(
                "The extension %s was not created: %s. The run continues without it, and fails "
                "where it needs it. Create it as another role: CREATE EXTENSION %s",
                name,
                server_message(error),
                quoted,
            )
        except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError) as error:
            raise UnsupportedServerError(
                f"The extension {name}, which piccolo_conf asks for, cannot be created: "
                f"{server_message(error)}. Nothing was run. Install it on the server, or remove it "
                "from the engine's extensions."
            ) from error
