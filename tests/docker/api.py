"""Stands in for an application: its login, and a tenant's rows, again and again.

It ends when the server is gone, as an application without a pool of its own would; the compose
file starts it again.
"""

import asyncio
import signal

import asyncpg

from partman.tables import User, organization_for_subdomain
from partman.tenant import tenant


async def serve() -> None:
    try:
        await User.count()
    except asyncpg.InsufficientPrivilegeError:
        print("outside of tenant(): permission denied", flush=True)
    organization = await organization_for_subdomain("default")
    assert organization is not None
    async with tenant(organization):
        [login] = await User.raw("SELECT session_user::text, current_user::text")
        print(f"serving as {login['session_user']}, {login['current_user']}", flush=True)
    while True:
        async with tenant(organization):
            await User.count()
        await asyncio.sleep(0.1)


async def main() -> None:
    serving = asyncio.create_task(serve())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
