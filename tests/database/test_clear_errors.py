"""Every command reports an unusable database in one line that says what to do."""

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from partman.database import embedded
from tests.catalog import catalog
from tests.servers import temporary_directory
from tests.shared import unique_name
from tests.support import Completed, Database, as_role, execute, run, server_url, with_database

pytestmark = pytest.mark.same_on_every_version

PASSWORD = "correct horse battery staple"
COMMANDS = [
    ("piccolo", "migrations", "forwards", "all"),
    ("piccolo", "migrations", "backwards", "partman", "--auto_agree"),
    ("piccolo", "migrations", "check"),
    ("partman", "migrate", "--timeout", "0"),
    ("partman", "status"),
]


@contextmanager
def old_server(late: float = 0.0) -> Iterator[str]:
    """Speak enough of the protocol to look like PostgreSQL 14, which no registry offers.

    It answers so many seconds ``late``.
    """

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            time.sleep(late)
            length, code = struct.unpack("!ii", client.recv(8))
            if code == 80877103:  # the client asks for TLS
                client.sendall(b"N")
                length, _ = struct.unpack("!ii", client.recv(8))
            client.recv(length - 8)
            client.sendall(
                message(b"R", struct.pack("!i", 0))
                + message(b"S", b"server_version\x0014.11\x00")
                + message(b"S", b"client_encoding\x00UTF8\x00")
                + message(b"Z", b"I")
            )
            with client, suppress(ConnectionResetError):  # the command may have ended
                client.recv(1024)  # Terminate

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"postgresql://someone@127.0.0.1:{listener.getsockname()[1]}/db"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def one_line(completed: Completed, code: int, *, said: str) -> None:
    assert completed.code == code, completed.output
    assert completed.stderr.startswith("partman: ")
    assert completed.stderr.count("\n") == 1, completed.stderr
    assert said in completed.stderr
    assert "Traceback" not in completed.output
    assert "Usage" not in completed.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
class TestClearErrors:
    def test_no_server(self, command: tuple[str, ...]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        url = f"postgresql://someone:secret@127.0.0.1:{port}/db"
        completed = run(*command, environment={"DATABASE_URL": url})
        one_line(completed, 4, said=f"someone@127.0.0.1:{port}/db cannot be reached")
        assert "secret" not in completed.output

    def test_missing_database(self, command: tuple[str, ...]) -> None:
        url = with_database(server_url(), "no_such_database")
        one_line(run(*command, environment={"DATABASE_URL": url}), 4, said="does not exist")

    def test_unknown_role(self, command: tuple[str, ...], empty_database: Database) -> None:
        url = re.sub(r"//[^@]*@", "//no_such_role:secret@", empty_database.url)
        completed = run(*command, environment={"DATABASE_URL": url})
        one_line(completed, 4, said="no_such_role")
        assert "secret" not in completed.output

    def test_invalid_url(self, command: tuple[str, ...]) -> None:
        url = "postgresql://someone:sec/ret@host/db"
        completed = run(*command, environment={"DATABASE_URL": url})
        one_line(completed, 3, said="percent-encoded")
        assert "sec" not in completed.output.replace("second", "")

    def test_production_without_a_url(self, command: tuple[str, ...]) -> None:
        completed = run(*command, environment={"PARTMAN_ENV": "production"})
        one_line(completed, 3, said="DATABASE_URL must be set")

    def test_unknown_environment(self, command: tuple[str, ...]) -> None:
        completed = run(*command, environment={"PARTMAN_ENV": "prod"})
        one_line(completed, 3, said="PARTMAN_ENV is 'prod'; it must be one of: development")

    def test_server_that_is_too_old(self, command: tuple[str, ...]) -> None:
        with old_server() as url:
            completed = run(*command, environment={"DATABASE_URL": url})
        one_line(completed, 5, said="The server is PostgreSQL 14; partman needs 15")


def test_a_server_that_answers_late_is_heard_without_a_timeout() -> None:
    with old_server(late=0.3) as url:
        completed = run("partman", "migrate", "--timeout", "0", environment={"DATABASE_URL": url})
    one_line(completed, 5, said="The server is PostgreSQL 14; partman needs 15")


@pytest.mark.parametrize(
    ("command", "password"),
    [
        (("partman", "status"), "123/QXZJ"),
        (("partman", "history"), "QXZ@JQX/Z"),
        (("partman", "migrate", "--timeout", "0"), "12#QXZJ"),
        (("partman", "wait", "--timeout", "0"), "12?a=QXZJ"),
        (("partman", "plan"), "QXZ%JQX@Z"),
        (("partman", "drift"), "[QXZ]@JQX"),
        (("partman", "check"), "QXZ QXZ@ü/"),
        (("partman", "verify"), "QXZ@JQX"),
        (("partman", "serve", "--port", "0"), "QXZ\tJ@QXZ"),
        (("partman", "seed", "dev"), "Q'XZ@JQX"),
        (("partman", "admin", "list"), "QXZ:JQX@"),
        (("piccolo", "migrations", "forwards", "all"), "1/QXZ?J@"),
        (("piccolo", "migrations", "backwards", "partman", "--auto_agree"), "1/QXZ"),
        (("piccolo", "migrations", "check"), "@QXZ"),
    ],
    ids=str,
)
@pytest.mark.parametrize("log_format", ["human", "json"])
def test_unencoded_password_is_not_printed_in_part(
    command: tuple[str, ...], password: str, log_format: str
) -> None:
    environment = {
        "DATABASE_URL": f"postgresql://someone:{password}@127.0.0.1:1/db",
        "PARTMAN_ENV": "development",
        "PARTMAN_LOG_FORMAT": log_format,
    }
    completed = run(*command, environment=environment)
    assert completed.code == 3, completed.output
    assert "percent-encoded" in completed.stderr
    parts = (password[start : start + 3] for start in range(len(password) - 2))
    assert not [part for part in parts if "X" in part and part in completed.output]


@pytest.mark.parametrize("address", ["[::1", "]", "[not-an-address]", "127.0.0.1:-1"])
def test_invalid_address(address: str) -> None:
    url = f"postgresql://someone:secret@{address}/db"
    completed = run("partman", "status", environment={"DATABASE_URL": url})
    one_line(completed, 3, said="DATABASE_URL is not a valid PostgreSQL URL")
    assert "secret" not in completed.output


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("sslmode=all", "`sslmode` parameter must be one of: disable"),
        ("sslmode=verify-full", "root.crt"),
    ],
)
def test_invalid_parameter_is_named(parameter: str, said: str, tmp_path: Path) -> None:
    url = f"postgresql://someone:secret@127.0.0.1:1/db?{parameter}"
    environment = {"DATABASE_URL": url, "HOME": str(tmp_path)}
    completed = run("partman", "status", environment=environment)
    one_line(completed, 3, said=said)
    assert "secret" not in completed.output


@pytest.mark.parametrize("command", [("drift",), ("admin", "set-password", "admin@partman.com")])
def test_read_only_database(command: tuple[str, ...], database: Database) -> None:
    sign = "&" if "?" in database.url else "?"
    url = f"{database.url}{sign}default_transaction_read_only=on"
    completed = run("partman", *command, environment={"DATABASE_URL": url}, stdin=PASSWORD)
    one_line(completed, 6, said="Set DATABASE_URL to a writable server")


def test_hint_of_the_server_is_on_the_same_line(database: Database) -> None:
    execute(
        database.url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'not now' USING HINT = 'Come back later.'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON partners EXECUTE FUNCTION refuse()",
    )
    completed = run("partman", "seed", "dev", environment=database.environment)
    one_line(completed, 1, said="not now. Hint: Come back later. Nothing was seeded.")


@pytest.fixture
def server_with_passwords() -> Iterator[str]:
    """A server that asks for passwords; the one that the tests share does not."""
    with temporary_directory() as folder:
        url = embedded.start(folder)
        superuser = as_role(url, "postgres")
        execute(superuser, f"ALTER ROLE partman PASSWORD '{PASSWORD}'")
        [configuration] = folder.rglob("pg_hba.conf")
        trusting = configuration.read_text()
        configuration.write_text(f"local all partman scram-sha-256\n{trusting}")
        execute(superuser, "SELECT pg_reload_conf()")
        yield url
        embedded.stop(folder)


def test_wrong_password_is_one_clear_line(server_with_passwords: str) -> None:
    def with_password(password: str) -> dict[str, str]:
        url = as_role(server_with_passwords, f"partman:{password}")
        return {"DATABASE_URL": url}

    for command in COMMANDS:
        completed = run(*command, environment=with_password("wr0ng"))
        one_line(completed, 4, said="rejected the login: password authentication failed")
        assert "wr0ng" not in completed.output
    right = with_password(quote(PASSWORD))
    assert run("piccolo", "migrations", "check", environment=right).code == 0


@pytest.fixture
def stranger(empty_database: Database) -> Iterator[str]:
    """A role without privileges."""
    role = unique_name()
    execute(empty_database.url, f"CREATE ROLE {role} LOGIN")
    yield role
    execute(empty_database.url, f"DROP ROLE {role}")


def test_role_without_rights_changes_nothing(empty_database: Database, stranger: str) -> None:
    before = catalog(empty_database.url)
    url = as_role(empty_database.url, stranger)
    for command in (("forwards", "all"), ("check",)):
        completed = run("piccolo", "migrations", *command, environment={"DATABASE_URL": url})
        one_line(completed, 6, said="permission denied for schema public")
    assert catalog(empty_database.url) == before


@pytest.mark.parametrize("command", ["status", "history", "migrate", "plan"])
def test_invisible_ledger_is_not_reported_as_missing(
    command: str, database: Database, stranger: str
) -> None:
    environment = {"DATABASE_URL": as_role(database.url, stranger)}
    completed = run("partman", command, environment=environment)
    one_line(completed, 6, said="this role cannot see it: it may not use schema public")


@pytest.mark.parametrize("command", ["status", "migrate", "plan", "drift"])
def test_ledger_of_another_program(command: str, empty_database: Database) -> None:
    execute(empty_database.url, "CREATE TABLE migration (id int, version text)")
    completed = run("partman", command, environment=empty_database.environment)
    one_line(completed, 10, said="The table migration is not Piccolo's ledger")


@pytest.mark.parametrize("command", ["status", "migrate", "plan", "diagram"])
@pytest.mark.parametrize("conf", ["nowhere", "nowhere.at_all"])
def test_missing_piccolo_conf_module(command: str, conf: str, database: Database) -> None:
    completed = run("partman", command, environment=database.environment | {"PICCOLO_CONF": conf})
    one_line(completed, 3, said=f"PICCOLO_CONF is '{conf}', but there is no such module")
