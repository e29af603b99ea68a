"""The commands, as their users run them."""

import json
import os
import pty
import re
import select
import subprocess
import termios
import time

import bcrypt
import pytest

from tests.catalog import catalog
from tests.faults.processes import Zygote, forked_scripts
from tests.proxy import Proxy
from tests.support import (
    MIGRATIONS,
    ROOT,
    Completed,
    Database,
    clean_environment,
    execute,
    query,
    run,
    script,
    server_url,
    with_database,
)

pytestmark = pytest.mark.same_on_every_version

LATEST = MIGRATIONS[-1]
ALL = len(MIGRATIONS)
ADMIN = "admin@partman.com"
PASSWORD = "correct horse battery staple"


def partman(database: Database, *arguments: str, stdin: str = "", **more: str) -> Completed:
    return run("partman", *arguments, environment=database.environment | more, stdin=stdin)


class TestStatus:
    def test_is_1_and_lists_pending_migrations(self, empty_database: Database) -> None:
        before = catalog(empty_database.url)
        completed = partman(empty_database, "status")
        assert completed.code == 1
        assert f"0 applied, {ALL} pending" in completed.stdout
        assert "piccolo migrations forwards all" in completed.stdout
        assert catalog(empty_database.url) == before, "status changes nothing"

    def test_is_0_when_nothing_is_pending(self, database: Database) -> None:
        completed = partman(database, "status", "--json")
        assert completed.code == 0
        found = json.loads(completed.stdout)
        assert (found["version"], found["applied"], found["pending"]) == (LATEST, ALL, 0)
        descriptions = [migration["description"] for migration in found["migrations"]]
        assert descriptions[:3] == ["initial schema", "indexes", "default data"]

    def test_names_a_ledger_row_that_has_no_file(self, database: Database) -> None:
        execute(
            database.url, "INSERT INTO migration (name, app_name) VALUES ('2020-gone', 'partman')"
        )
        assert re.search(r"2020-gone +\(no file\)", partman(database, "status").stdout)


class TestMigrate:
    def test_applies_everything_and_names_both_versions(self, empty_database: Database) -> None:
        completed = partman(empty_database, "migrate")
        assert completed.code == 0
        assert "schema version before: none" in completed.stderr
        assert f"schema version now: {LATEST}" in completed.stderr
        assert f"{ALL} migrations applied" in completed.stdout
        assert "Nothing to do" in partman(empty_database, "migrate").stdout

    def test_logs_json_when_asked(self, empty_database: Database) -> None:
        completed = partman(empty_database, "migrate", PARTMAN_LOG_FORMAT="json")
        records = [json.loads(line) for line in completed.stderr.splitlines()]
        assert records[-1]["message"] == f"schema version now: {LATEST}"
        assert {"time", "level", "logger"} <= records[-1].keys()

    @pytest.mark.parametrize("command", ["partman migrate", "piccolo migrations check"])
    def test_errors_are_json_too(self, command: str) -> None:
        url = with_database(server_url(), "no_such_database")
        completed = run(
            *command.split(), environment={"DATABASE_URL": url, "PARTMAN_LOG_FORMAT": "json"}
        )
        assert completed.code == 4
        [record] = [json.loads(line) for line in completed.stderr.splitlines()]
        assert (record["level"], record["exit_code"]) == ("error", 4)
        assert "does not exist" in record["message"]

    def test_waits_for_a_server_that_is_late(
        self, empty_database: Database, zygote: Zygote
    ) -> None:
        with Proxy(empty_database) as proxy:
            process = zygote.start(
                "partman", "migrate", "--timeout", "60",
                environment={"DATABASE_URL": proxy.url, "PARTMAN_ENV": "development"},
            )  # fmt: skip
            process.wait_for("Waiting up to 60 s for the database")
            proxy.open()
            completed = process.wait()
        assert completed.code == 0, completed.output
        assert f"{ALL} migrations applied" in completed.stdout

    def test_gives_up_when_the_time_is_up(self, empty_database: Database) -> None:
        with Proxy(empty_database) as proxy:
            completed = run(
                "partman", "migrate", "--timeout", "0.2",
                environment={"DATABASE_URL": proxy.url},
            )  # fmt: skip
        assert completed.code == 4
        assert "Gave up after 0.2 s" in completed.stderr

    def test_does_not_wait_for_permanent_errors(self) -> None:
        completed = run(
            "partman", "migrate",
            environment={"DATABASE_URL": with_database(server_url(), "no_such_database")},
        )  # fmt: skip
        assert completed.code == 4
        assert "Waiting" not in completed.stderr


class TestRedo:
    def test_undoes_and_repeats_the_newest(self, database: Database) -> None:
        before = catalog(database.url)
        completed = partman(database, "redo")
        assert completed.code == 0, completed.output
        assert f"{LATEST} [backwards]" in completed.stdout
        assert f"{LATEST} [forwards]" in completed.stdout
        assert catalog(database.url) == before

    def test_runs_nothing_where_nothing_is_applied(self, empty_database: Database) -> None:
        before = catalog(empty_database.url)
        completed = partman(empty_database, "redo")
        assert completed.code == 1
        assert "nothing to redo. Nothing was run." in completed.stderr
        assert catalog(empty_database.url) == before

    @pytest.mark.parametrize("environment", ["staging", "production"])
    def test_is_refused_where_data_matters(self, database: Database, environment: str) -> None:
        completed = partman(database, "redo", PARTMAN_ENV=environment)
        assert completed.code == 1
        assert f"PARTMAN_ENV is {environment}" in completed.stderr
        assert "backwards" not in completed.stdout


class TestSetPassword:
    def test_from_stdin_stores_a_bcrypt_hash(self, database: Database) -> None:
        completed = partman(database, "admin", "set-password", ADMIN, stdin=f"{PASSWORD}\n")
        assert completed.code == 0, completed.output
        assert PASSWORD not in completed.output
        [row] = query(database.url, "SELECT password_hash FROM users")
        assert row["password_hash"].startswith("$2b$")
        assert bcrypt.checkpw(PASSWORD.encode(), row["password_hash"].encode())

    def test_from_a_terminal_asks_twice_and_echoes_nothing(self, database: Database) -> None:
        controller, terminal = pty.openpty()
        process = subprocess.Popen(
            ["partman", "admin", "set-password", ADMIN],
            env=clean_environment(**database.environment) | forked_scripts("commands"),
            cwd=ROOT,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        seen = ""
        for prompt in ("New password:", "Repeat for confirmation:"):
            seen += _read_until(controller, prompt, seen)
            _wait_until_echo_is_off(controller)
            os.write(controller, f"{PASSWORD}\n".encode())
        seen += _read_until(controller, "is set", seen)
        assert process.wait(timeout=60) == 0
        assert PASSWORD not in seen

    @pytest.mark.parametrize("password", ["", "too short", "x" * 73, "é" * 40, "a\0" * 10])
    def test_refuses_invalid_passwords_and_changes_nothing(
        self, database: Database, password: str
    ) -> None:
        completed = partman(database, "admin", "set-password", ADMIN, stdin=f"{password}\n")
        assert completed.code == 1
        assert "nothing was changed" in completed.stderr
        [row] = query(database.url, "SELECT password_hash FROM users")
        assert row["password_hash"] == "!"

    def test_asks_for_the_organization_when_the_address_is_not_unique(
        self, database: Database
    ) -> None:
        execute(
            database.url,
            "INSERT INTO organizations (name, subdomain) VALUES ('Other', 'other')",
            "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
            f" SELECT id, '{ADMIN}', '!', 'A', 'B', 'admin' FROM organizations"
            " WHERE subdomain = 'other'",
        )
        completed = partman(database, "admin", "set-password", ADMIN, stdin=f"{PASSWORD}\n")
        assert completed.code == 1
        assert "(default, other)" in completed.stderr
        completed = partman(
            database, "admin", "set-password", ADMIN, "--organization", "other",
            stdin=f"{PASSWORD}\n",
        )  # fmt: skip
        assert completed.code == 0
        unusable = query(database.url, "SELECT * FROM users WHERE password_hash = '!'")
        assert len(unusable) == 1

    def test_before_the_migrations_says_what_to_run(self, empty_database: Database) -> None:
        completed = partman(empty_database, "admin", "set-password", ADMIN, stdin=PASSWORD)
        assert completed.code == 1
        assert "Nothing was changed. Run: piccolo migrations forwards all" in completed.stderr
        assert "Traceback" not in completed.stderr

    def test_unknown_address_is_one_clear_line(self, database: Database) -> None:
        completed = partman(database, "admin", "set-password", "nobody@x", stdin=f"{PASSWORD}\n")
        assert completed.code == 1
        assert completed.stderr == (
            "partman: There is no account nobody@x; nothing was changed. For an account of "
            "the console, add --console.\n"
        )


def _read_until(terminal: int, text: str, seen: str) -> str:
    more = ""
    while text not in seen + more:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, f"never said {text!r}: {seen + more!r}"
        more += os.read(terminal, 1024).decode()
    return more


def _wait_until_echo_is_off(terminal: int) -> None:
    """Whatever is typed before that is thrown away."""
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        time.sleep(0.01)


def test_importing_piccolo_conf_opens_no_connection(database: Database) -> None:
    with Proxy(database) as proxy:
        proxy.open()
        subprocess.run(
            [script("python"), "-W", "error", "-c", "import piccolo_conf"],
            env=clean_environment(DATABASE_URL=proxy.url),
            cwd=ROOT,
            check=True,
        )
        assert proxy.accepted == 0


class TestOtherPiccoloCommands:
    def test_schema_generate_prints_the_tables(self, database: Database) -> None:
        completed = run("piccolo", "schema", "generate", environment=database.environment)
        assert completed.code == 0
        assert 'tablename="quarterly_goals"' in completed.stdout

    def test_fixtures_can_be_dumped_and_loaded(
        self, database: Database, other_database: Database
    ) -> None:
        dumped = run("piccolo", "fixtures", "dump", "partman", environment=database.environment)
        assert dumped.code == 0
        assert json.loads(dumped.stdout)["partman"]["Organization"][0]["subdomain"] == "default"

    def test_shell_has_the_tables_at_hand(self, database: Database) -> None:
        completed = run(
            "piccolo", "shell", "run",
            environment=database.environment,
            stdin="print('found', [o['subdomain'] for o in await Organization.select()])\n",
        )  # fmt: skip
        assert completed.code == 0, completed.output
        assert "found ['default']" in completed.stdout
