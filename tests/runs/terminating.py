"""A proxy at whose n-th answer a run is killed, cut off, or its session is terminated."""

import socket
from collections.abc import Callable
from contextlib import suppress

from tests.faults.cutting import CuttingProxy, count_ends, hand_on, hang_up
from tests.support import Database, administrator


class TerminatingProxy(CuttingProxy):
    """Cuts the first connection at an answer; ``terminates``: ends its session on the server."""

    def __init__(
        self,
        database: Database,
        *,
        at_answer: int,
        terminates: bool,
        cut: Callable[[], None],
    ) -> None:
        self._name = database.name
        self._terminates = terminates
        super().__init__(database, at_answer=at_answer, of_first=True, cut=cut)

    def _answers_to(self, client: socket.socket, server: socket.socket) -> None:
        if not self._terminates:
            super()._answers_to(client, server)
            return
        buffer = b""
        with suppress(OSError):
            while data := server.recv(65536):
                ended, buffer = count_ends(buffer + data)
                self.answers += ended
                if self.answers >= self._at_answer:
                    self._terminate()
                    client.sendall(data)
                    break
                client.sendall(data)
        hand_on(client, server)
        hang_up(client, server)

    def _terminate(self) -> None:
        self.has_cut.set()
        administrator().ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND application_name LIKE 'partman forwards%'",
            self._name,
        )
