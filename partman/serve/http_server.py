"""The server process: socket, signals and logs. uvicorn handles HTTP."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import math
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import uvicorn

from partman.database import embedded
from partman.errors import CannotListenError, ExitCode, SettingsError
from partman.serve.access_log import AccessLog
from partman.serve.app import create_app
from partman.settings import Settings

logger = logging.getLogger("partman.serve")

TRUSTED_PROXIES = "PARTMAN_TRUSTED_PROXIES"

_BACKLOG = 2048
"""Maximum number of connections waiting to be accepted."""

_NO_MORE_FILES = {errno.EMFILE, errno.ENFILE}
_MINUTE = 60

_GRACE = 0.3
"""Seconds that requests have to finish after a stop signal. Together with uvicorn and the
connections (pool.py, reader.py) the process ends within one second.
"""


def run(settings: Settings, host: str, port: int, scratch: str) -> NoReturn:
    """Serve until a signal arrives, and end the process.

    ``scratch`` is the server for a plan's scratch database, as the option of ``partman plan``.

    Raises CannotListenError, SettingsError, and EmbeddedServerError if DATABASE_URL is not set.
    """
    proxies = trusted_proxies()
    app = AccessLog(create_app(settings, scratch=scratch))
    listener = listen(host, port)
    if settings.database_url is None:
        embedded.start(settings.data_directory)
    _log_with_ours()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        lifespan="on",
        ws="none",  # the pages require HTTP
        workers=1,  # otherwise uvicorn reads it from the environment, although it is not used
        timeout_graceful_shutdown=_GRACE,  # type: ignore[arg-type] # wait_for takes any number
    )
    logger.info("serving at %s", _address(listener))
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_ConnectionLimitLog())
    loop.run_until_complete(_Server(config).serve([listener]))
    logger.info("stopped")
    _end(ExitCode.OK)


class _Server(uvicorn.Server):
    """uvicorn without raising the stop signal again: being stopped is not a failure.

    As the first process of a container it would ignore the signal anyway.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT as a request to stop, for the duration of a block."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


class _ConnectionLimitLog:
    """Logs too many connections once a minute; asyncio logs them 10,000 times a second."""

    def __init__(self) -> None:
        self._said = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error that no other handler has handled."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _NO_MORE_FILES):
            loop.default_exception_handler(context)
        elif loop.time() - self._said >= _MINUTE:
            self._said = loop.time()
            logger.error("Connection limit reached: %s. See ulimit -n.", error.strerror)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Raises CannotListenError."""
    try:
        # The system lists its preferred address first.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sets TCP_NODELAY only on a socket whose protocol is TCP; without it, small packets
        # wait.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise CannotListenError(
            f"Cannot listen on {host}, port {port}: {reason}. Nothing was started. Stop the "
            "process that uses this address, or choose another one with --host and --port."
        ) from error
    return listener


def trusted_proxies(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the proxies whose X-Forwarded-For and -Proto headers are trusted.

    Raises SettingsError.
    """
    words = environ.get(TRUSTED_PROXIES, "").replace(",", " ").split()
    try:
        return [str(ipaddress.ip_network(word)) for word in words]
    except ValueError as error:
        raise SettingsError(
            f"{TRUSTED_PROXIES} is {environ[TRUSTED_PROXIES]!r}; it must be addresses and "
            f"networks, as in '10.0.0.5 192.168.7.0/24': {error}."
        ) from None


def _log_with_ours() -> None:
    """Send other libraries' warnings to partman's log handler, in the same format."""
    root = logging.getLogger()
    root.handlers = logging.getLogger("partman").handlers
    root.setLevel(logging.WARNING)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _end(code: int) -> NoReturn:
    """End the process at once, with this exit code."""
    # Python itself would wait for its threads, even for one that waits for a name server.
    logging.shutdown()
    os._exit(code)
