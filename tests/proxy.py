"""A TCP port in front of the test server that opens late, hangs or closes connections."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tests.support import Database


class Proxy:
    """Forwards a loopback port to the server of a database, from ``open`` on."""

    def __init__(self, database: Database) -> None:
        self._target = address(database.url)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        parts = urlsplit(database.url)
        self.url = f"postgresql://{parts.username}@127.0.0.1:{self.port}{parts.path}"
        self.accepted = 0
        self._flowing = threading.Event()
        self._flowing.set()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def open(self) -> None:
        """Accept connections from now on; before, the port refuses them."""
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Forward nothing from now on and keep connections open, like a server that hangs."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def abandon(self) -> None:
        """Freeze the existing connections for good, but not later ones."""
        self.freeze()
        self._flowing = threading.Event()
        self.thaw()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            server = socket.socket(
                socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            )
            server.connect(self._target)
            threading.Thread(
                target=_forward, args=(client, server, self._flowing), daemon=True
            ).start()


def _forward(client: socket.socket, server: socket.socket, flowing: threading.Event) -> None:
    with client, server:
        back = threading.Thread(target=_pump, args=(server, client, flowing), daemon=True)
        back.start()
        _pump(client, server, flowing)
        back.join()


def _pump(source: socket.socket, sink: socket.socket, flowing: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            flowing.wait()
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def address(url: str) -> str | tuple[str, int]:
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = query.get("host", parts.hostname or "localhost")
    port = int(query.get("port", parts.port or 5432))
    return str(Path(host) / f".s.PGSQL.{port}") if host.startswith("/") else (host, port)
