"""``partman serve`` with requests that never end, in the event loop and in a thread."""

import asyncio
import threading
from unittest.mock import patch

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from partman.logs import configure_logging
from partman.serve import http_server as server
from partman.settings import LogFormat, Settings


async def hang(_: Request) -> Response:
    print("hanging", flush=True)
    await asyncio.Event().wait()
    return Response()


def hang_in_a_thread(_: Request) -> Response:
    print("hanging", flush=True)
    threading.Event().wait()
    return Response()


def create_app(_: Settings, **options: str) -> Starlette:
    return Starlette(routes=[Route("/hang", hang), Route("/thread", hang_in_a_thread)])


if __name__ == "__main__":
    configure_logging(LogFormat.HUMAN)
    with patch.object(server, "create_app", create_app):
        server.run(Settings.load(), "127.0.0.1", 0, "server")
