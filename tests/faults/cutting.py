"""A proxy that cuts a connection at an exact point of the conversation."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.proxy import Proxy
from tests.support import Database

READY_FOR_QUERY = ord("Z")
"""The server's message at the end of each statement."""


class CuttingProxy(Proxy):
    """Calls ``cut`` at the n-th end of a statement, and lets its answer reach nobody.

    Or at the n-th request that contains the text of ``at_request``: the request itself does not
    reach the server, or when it ``arrives``, its answer does not reach the client.
    Afterwards both ends are closed, as they are when a process dies or a line breaks. Later
    connections are left alone; ``of_first``: so are all but the first, whatever they do.
    """

    def __init__(
        self,
        database: Database,
        *,
        at_answer: int = 0,
        of_first: bool = False,
        at_request: tuple[bytes, int] = (b"", 0),
        arrives: bool = False,
        cut: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(database)
        self.url += "?sslmode=disable"
        self.answers = 0
        self.has_cut = threading.Event()
        self._at_answer = at_answer
        self._of_first = of_first
        self._text, self._at_request = at_request
        self._arrives = arrives
        self._requests = 0
        self._cut = cut
        self.open()

    def __enter__(self) -> Self:
        return self

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            server = socket.socket(family)
            try:
                server.connect(self._target)
            except OSError:
                hang_up(client, server)
                continue
            answers = hand_on if self._of_first and self.accepted > 1 else self._answers_to
            for pump in (self._requests_of, answers):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _requests_of(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._text and not self.has_cut.is_set():
                    self._requests += data.count(self._text)
                    if self._requests >= self._at_request:
                        self._cut_at_request(server, data)
                        break
                server.sendall(data)
        hang_up(client, server)

    def _answers_to(self, client: socket.socket, server: socket.socket) -> None:
        buffer = b""
        with suppress(OSError):
            while data := server.recv(65536):
                if not self.has_cut.is_set():
                    ended, buffer = count_ends(buffer + data)
                    self.answers += ended
                    if self._at_answer and self.answers >= self._at_answer:
                        self._do_cut()
                        break
                client.sendall(data)
        hang_up(client, server)

    def _cut_at_request(self, server: socket.socket, data: bytes) -> None:
        if self._arrives:
            self._at_answer = self.answers + 1
            server.sendall(data)
            self.has_cut.wait()
        else:
            self._do_cut()

    def _do_cut(self) -> None:
        # Set first: whoever waits for the process to end looks at it as soon as that has died.
        self.has_cut.set()
        self._cut()


def count_ends(stream: bytes) -> tuple[int, bytes]:
    """Count the statements that ended; return what is left of an incomplete message."""
    ended = 0
    while len(stream) >= 5:
        kind, length = struct.unpack_from("!BI", stream)
        if len(stream) < 1 + length:
            break
        ended += kind == READY_FOR_QUERY
        stream = stream[1 + length :]
    return ended, stream


def hand_on(client: socket.socket, server: socket.socket) -> None:
    """Send the client what the server answers."""
    with suppress(OSError):
        while data := server.recv(65536):
            client.sendall(data)
    hang_up(client, server)


def hang_up(*ends: socket.socket) -> None:
    """Close both ends, as when a line breaks."""
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
