"""The process: its signals, its port, its logs."""

import fcntl
import json
import os
import re
import signal
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from partman.errors import CannotListenError, ExitCode, SettingsError
from partman.serve.http_server import listen, trusted_proxies
from tests.faults.processes import Zygote, wait_until
from tests.proxy import Proxy
from tests.serve.processes import PARTMAN, Service, serving
from tests.support import MIGRATIONS, Database

SECRET = "of 32 characters, at the very least"
SECRETS = ("in-the-query", "in-a-cookie", "in-a-header", "pass-word", SECRET)
FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


def test_it_serves_until_a_stop_signal(database: Database, tmp_path: Path) -> None:
    # Not partman's variables, but some that uvicorn would read.
    environment = {**database.environment, "FORWARDED_ALLOW_IPS": "*", "WEB_CONCURRENCY": "auto"}
    with serving(tmp_path, environment) as service:
        assert service.request("/health/live").status == 200
        ready = service.request("/health/ready")
        assert (ready.status, json.loads(ready.body)["ready"]) == (200, True)
        assert "partman_up 1.0" in service.request("/metrics").body
        service.request("/else", **FORWARDED)
        head = service.request("/health/ready", "HEAD")
        assert (head.status, head.body, head.headers["cache-control"]) == (200, "", "no-store")
        assert "server" not in ready.headers
        assert service.stop(signal.SIGINT) == ExitCode.OK
    told = [re.sub(r"\S+ ms", "N ms", line) for line in service.log.splitlines()]
    # What is asked again and again is not in the log; and nobody's word is taken for who asks.
    assert told == [
        f"INFO serving at {service.url}",
        f"INFO ready: The schema version is {MIGRATIONS[-1]}.",
        "INFO 127.0.0.1 GET /else 404 N ms",
        "INFO stopped",
    ]


def test_the_log_has_no_secret_and_names_who_asked_a_trusted_proxy(
    database: Database, tmp_path: Path
) -> None:
    with Proxy(database) as proxy:
        environment = {
            "DATABASE_URL": proxy.url.replace("@", ":pass-word@"),
            "PARTMAN_LOG_FORMAT": "json",
            "PARTMAN_SECRET": SECRET,
            "PARTMAN_TRUSTED_PROXIES": "10.0.0.1, 127.0.0.0/8",
        }
        with serving(tmp_path, environment) as service:
            service.request(
                "/else?token=in-the-query",
                "POST",
                Cookie="session=in-a-cookie",
                Authorization="Bearer in-a-header",
                **FORWARDED,
            )
            service.request("/health/ready")
            # A package that looks at bodies warns of this one.
            multipart = {"Content-Type": "multipart/form-data; boundary=x", "Cookie": "csrftoken=x"}
            service.request("/sign-in", "POST", "no multipart", **multipart)
            assert service.stop() == 0
            records = [json.loads(line) for line in service.log.splitlines()]
    access, _ = (record for record in records if record["logger"] == "partman.access")
    assert (access["method"], access["path"]) == ("POST", "/else")
    assert access["client"] == "203.0.113.9"
    unreachable, others = (record for record in records if record["level"] == "warning")
    assert "not ready, unreachable" in unreachable["message"]
    assert not others["logger"].startswith("partman")
    assert not [secret for secret in SECRETS if secret in service.log]


def test_requests_that_hang_do_not_keep_it_from_stopping(
    tmp_path: Path, database: Database
) -> None:
    hanging = ("python", "-m", "tests.serve.hanging")
    with serving(tmp_path, database.environment, *hanging) as service:
        hang(service, "/hang")
        hang(service, "/thread")
        assert service.stop() == ExitCode.OK
    # What uvicorn says is in partman's format.
    assert "ERROR Cancel 2 running task(s)" in service.log


def test_a_web_socket_is_answered_as_any_request(database: Database, tmp_path: Path) -> None:
    """A part that fails at one would be in the log with all its frames."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with serving(tmp_path, database.environment) as service:
        assert service.request("/console/partners/", **upgrade).status == 303
        assert service.stop() == ExitCode.OK
    assert "GET /console/partners/ 303" in service.log
    assert "Traceback" not in service.log


def test_it_needs_no_standard_output(database: Database, tmp_path: Path) -> None:
    closed = ("sh", "-c", 'exec "$@" >&-', "sh", *PARTMAN)
    with serving(tmp_path, database.environment, *closed) as service:
        assert service.request("/health/ready").status == 200
        assert service.stop() == ExitCode.OK


def test_more_connections_than_fit_do_not_fill_the_log(database: Database, tmp_path: Path) -> None:
    few = ("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh", *PARTMAN)
    with serving(tmp_path, database.environment, *few) as service, ExitStack() as crowd:
        address = urlsplit(service.url)
        for _ in range(64):
            crowd.enter_context(socket.create_connection((address.hostname, address.port)))
        wait_until(lambda: "open files" in service.log, "it was full")
        crowd.close()
        assert service.request("/health/live").status == 200
        assert service.stop() == ExitCode.OK
    assert service.log.count("open files") == 1
    assert "ERROR Connection limit reached: Too many open files. See ulimit -n." in service.log


def hang(service: Service, path: str) -> None:
    """Send a request that is never answered, and wait until the service is at it."""
    before = service.log.count("hanging")
    threading.Thread(target=ask, args=(service, path), daemon=True).start()
    wait_until(lambda: service.log.count("hanging") > before, "it was asked")


def ask(service: Service, path: str) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        connection.recv(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_told_to_stop_before_it_serves(
    tmp_path: Path, zygote: Zygote, number: signal.Signals
) -> None:
    home = tmp_path / "server"
    home.mkdir(0o700)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ("partman", "serve", "--port", str(port))
    with (home / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        starting = zygote.start(*command, environment={"PARTMAN_DATA_DIR": str(tmp_path)})
        wait_until(lambda: is_listening(port), "it waited for the embedded server")
        os.kill(starting.pid, number)
        assert starting.wait().code == ExitCode.OK


def is_listening(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_a_port_that_is_taken_is_an_error_of_one_line(zygote: Zygote, database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = zygote.run("partman", "serve", "--port", port, environment=database.environment)
    assert refused.code == ExitCode.NO
    assert refused.output.splitlines() == [
        f"partman: Cannot listen on 127.0.0.1, port {port}: Address already in use. Nothing was "
        "started. Stop the process that uses this address, or choose another one with --host and "
        "--port."
    ]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a..b"])
def test_an_address_that_is_not_ours_is_an_error(host: str) -> None:
    with pytest.raises(CannotListenError, match=rf"^Cannot listen on {host}, port 8000: "):
        listen(host, 8000)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_an_address_is_one_of_either_protocol_or_a_name(host: str) -> None:
    with listen(host, 0) as listener:
        assert listener.getsockname()[1] > 0
        # Or asyncio would not send small packets at once, and each answer takes 40 ms more.
        assert listener.proto == socket.IPPROTO_TCP


def test_proxies_are_addresses_and_networks() -> None:
    assert trusted_proxies({}) == []
    trusted = trusted_proxies({"PARTMAN_TRUSTED_PROXIES": "10.0.0.5, 192.168.7.0/24 ::1"})
    assert trusted == ["10.0.0.5/32", "192.168.7.0/24", "::1/128"]
    for wrong in ("proxy", "*", "10.0.0.5/24"):
        with pytest.raises(SettingsError, match=r"^PARTMAN_TRUSTED_PROXIES is"):
            trusted_proxies({"PARTMAN_TRUSTED_PROXIES": wrong})


@pytest.mark.parametrize("package", ["uvicorn", "prometheus_client"])
def test_without_the_extra_it_says_what_to_install(
    database: Database, tmp_path: Path, zygote: Zygote, package: str
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(
        f"raise ModuleNotFoundError('No module', name={package!r})"
    )
    environment = {**database.environment, "PYTHONPATH": str(tmp_path)}
    refused = zygote.run("partman", "serve", environment=environment)
    assert refused.code == ExitCode.NO
    [line] = refused.output.splitlines()
    assert package in line
    assert "pip install 'partman[serve]'" in line


def test_asking_for_help_needs_no_extra(zygote: Zygote) -> None:
    told = zygote.run("partman", "serve", "--help", environment={})
    assert told.code == 0
    assert "/health/ready" in told.stdout
