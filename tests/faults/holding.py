"""A proxy that keeps an answer back, so that a test can do something in between."""

import asyncio
import socket
import threading
from contextlib import suppress

from tests.faults.cutting import CuttingProxy, hang_up
from tests.support import Database

_DEADLINE = 60.0
"""Seconds after which the answer is let go. Only there to end a hang."""


class HoldingProxy(CuttingProxy):
    """Keeps the answer to the first request that contains the text, and all after it."""

    def __init__(self, database: Database, text: bytes) -> None:
        super().__init__(database)
        self._until = text
        self._held: socket.socket | None = None
        self._has_held = threading.Event()
        self._released = threading.Event()

    async def has_held(self) -> None:
        """Wait until the request has come."""
        assert await asyncio.to_thread(self._has_held.wait, _DEADLINE)

    def release(self) -> None:
        """Let the answers go."""
        self._released.set()

    def _requests_of(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._until in data and self._held is None:
                    self._held = server
                server.sendall(data)
                if self._held is server:
                    self._has_held.set()
        hang_up(client, server)

    def _answers_to(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self._held is server:
                    self._released.wait(_DEADLINE)
                client.sendall(data)
        hang_up(client, server)
