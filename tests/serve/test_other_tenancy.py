"""The service of a project with a tenancy of its own: workspaces, account_id, integer keys."""

import csv
import http.client
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from partman.isolation import Roles
from partman.isolation.roles import drop_roles
from partman.serve.people.account_base import AccountBase
from tests.serve.organizations import PASSWORD
from tests.serve.page import Page
from tests.serve.processes import Service, serving
from tests.serve.test_console_faults import sign_in
from tests.serve.visitors import ROWS
from tests.support import ROOT, Database, execute, query, run, temporary_database

ROLES = "crm_of_a_test"

_CONF = """
from piccolo.conf.apps import AppRegistry
from partman.engine import PartmanEngine
from crm.tables import TENANCY

DB = PartmanEngine(tenancy=TENANCY)
APP_REGISTRY = AppRegistry(apps=["crm.piccolo_app"])
"""

_APP = """
from pathlib import Path
from piccolo.conf.apps import AppConfig
from partman.apps import PartmanConfig
from partman.isolation import database_extras
from partman.isolation.roles import let_set_config, restrict_set_config
from crm import tables

APP_CONFIG = AppConfig(
    app_name="crm",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=[tables.Task, tables.Session, tables.Account, tables.Project, tables.Workspace],
)
PARTMAN_CONFIG = PartmanConfig(
    database_extras=(
        *database_extras(tables.TENANCY),
        restrict_set_config()[0],
        let_set_config(tables.TENANCY.roles.logins)[0],
    ),
    console="crm.console:CONSOLE",
)
"""

_TABLES = f"""
from piccolo.columns import ForeignKey, Integer, Serial, Timestamp, Varchar
from piccolo.constraints import Unique
from piccolo.table import Table
from partman import isolation
from partman.isolation import Key, Roles, Tenancy, TenantReference, tenants_table_extras
from partman.serve.people.account_base import AccountBase

TENANCY = Tenancy(
    table="workspaces", column="account_id", key=Key.INTEGER, roles=Roles.named("{ROLES}"),
    setting="crm.account_id",
)
CONSOLE = TENANCY.roles.console

class Workspace(Table, tablename="workspaces"):
    id = Serial(primary_key=True)
    title = Varchar()
    extras = tenants_table_extras(TENANCY, ["title"])

class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Workspace):
    id = Serial(primary_key=True)

class Project(TenantTable, Table, tablename="projects"):
    name = Varchar()
    projects_key = Unique(["account_id", "id"])

class Task(TenantTable, Table, tablename="tasks"):
    hours = Integer()
    project = TenantReference(Project, db_column_name="project_id")

class Account(AccountBase, tablename="staff"):
    workspace = ForeignKey(Workspace)
    extras = (f"GRANT SELECT, UPDATE (password, last_login) ON staff TO {{CONSOLE}}",)

class Session(Table, tablename="visits"):
    token = Varchar(length=100, secret=True)
    user_id = ForeignKey(Account)
    expiry_date = Timestamp()
    max_expiry_date = Timestamp()
    workspace = ForeignKey(Workspace)
    extras = (
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON visits TO {{CONSOLE}}",
        f"GRANT USAGE ON SEQUENCE visits_id_seq TO {{CONSOLE}}",
    )
"""

_CONSOLE = """
from partman.serve.console.config import ConsoleConfig
from crm.tables import Account, Session

CONSOLE = ConsoleConfig(accounts=Account, sessions=Session)
"""

_MAKE = """
import asyncio
from partman.database.connection import connected
from partman.migration.verification.build_from_classes import create
from partman.settings import Settings

async def make():
    async with connected(Settings.load(), "test") as connection:
        await create(connection)

asyncio.run(make())
"""

_FILES = {
    "piccolo_conf.py": _CONF,
    "make_tables.py": _MAKE,
    "crm/__init__.py": "",
    "crm/piccolo_app.py": _APP,
    "crm/tables.py": _TABLES,
    "crm/console.py": _CONSOLE,
    "crm/piccolo_migrations/__init__.py": "",
}


@dataclass(frozen=True)
class Workspaces:
    """The service, and its database."""

    service: Service
    database: Database

    def values(self, sql: str) -> list[Any]:
        return [row[0] for row in query(self.database.url, sql)]


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspaces]:
    folder = tmp_path_factory.mktemp("crm")
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    try:
        with temporary_database() as database:
            yield from _served(folder, tmp_path_factory.mktemp("log"), database)
    finally:
        with temporary_database() as database:
            execute(database.url, drop_roles(Roles.named(ROLES).all))


def _served(folder: Path, log: Path, database: Database) -> Iterator[Workspaces]:
    paths = f"{folder}:{ROOT}"
    environment = {"DATABASE_URL": database.url, "PARTMAN_ENV": "test", "PYTHONPATH": paths}
    made = run("python", "-m", "make_tables", environment=environment, cwd=folder, level="packages")
    assert made.code == 0, made.output
    hashed = AccountBase.hash_password(PASSWORD, "salt", 1)
    execute(
        database.url,
        "INSERT INTO workspaces (title) VALUES ('Acme'), ('Bravo')",
        "INSERT INTO projects (account_id, name) VALUES (1, 'of Acme'), (2, 'of Bravo')",
        "INSERT INTO tasks (account_id, hours, project_id) VALUES (1, 1, 1), (2, 2, 2)",
        "INSERT INTO staff (username, email, password, active, admin, superuser, workspace) VALUES"
        f" ('ann@x', 'ann@x', '{hashed}', true, true, false, 1),"
        f" ('olga@x', 'olga@x', '{hashed}', true, true, true, NULL)",
        "VACUUM ANALYZE tasks",
    )
    with serving(log, environment, cwd=folder, level="library") as service:
        yield Workspaces(service, database)


@dataclass(frozen=True)
class Browser:
    """Somebody who has signed in."""

    connection: http.client.HTTPConnection
    cookies: str

    def ask(self, method: str, path: str, form: str = "") -> tuple[int, str]:
        """Send a request; a form with the CSRF token in a header, as a script may."""
        kind = "application/x-www-form-urlencoded"
        headers = {"Cookie": self.cookies, "X-CSRFToken": "token", "Content-Type": kind}
        self.connection.request(method, path, form, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def rows(self, table: str) -> list[dict[str, str]]:
        status, told = self.ask("GET", f"{ROWS}{table}.csv")
        assert status == 200, told
        return list(csv.DictReader(io.StringIO(told)))

    def page(self, path: str) -> Page:
        status, told = self.ask("GET", ROWS + path)
        assert status == 200, told
        return Page(told)

    def save(self, path: str, shown: str = "", **typed: str) -> tuple[int, str]:
        """Fill in the form of a page and send it, to another page if need be."""
        sent = urlencode(self.page(shown or path).fields() | typed)
        return self.ask("POST", ROWS + path, sent)


@pytest.fixture
def connection(workspaces: Workspaces) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(workspaces.service.url).netloc
    with closing(http.client.HTTPConnection(address)) as connection:
        yield connection


def test_an_operator_chooses_a_workspace_by_its_id(
    workspaces: Workspaces, connection: http.client.HTTPConnection
) -> None:
    olga = Browser(connection, sign_in(connection, "olga@x"))
    status, page = olga.ask("GET", "/workspace")
    assert status == 200
    assert "No workspace is chosen" in page
    assert ">ID</label>" in page
    assert "rganization" not in page
    assert olga.ask("GET", f"{ROWS}tasks/")[0] == 303
    for unknown in ("3", "0", "-1", "two", "1e0", "9" * 30, "1\0", "2 OR 1=1"):
        form = urlencode({"ID": unknown, "csrftoken": "token"})
        status, page = olga.ask("POST", "/workspace", form)
        assert (status, "No active workspace has the ID" in page) == (404, True)
    assert olga.ask("POST", "/workspace", urlencode({"ID": " 2 "}))[0] == 303
    shown = olga.page("").main
    assert shown.each("a", id="tenant").text == "Bravo"
    assert "rganization" not in shown.text
    assert [row["title"] for row in olga.rows("workspaces")] == ["Bravo"]
    assert [row["hours"] for row in olga.rows("tasks")] == ["2"]
    assert olga.ask("POST", "/workspace", urlencode({"ID": ""}))[0] == 303
    assert olga.ask("GET", "/console/")[0] == 303


def test_an_admin_works_with_the_rows_of_the_own_workspace(
    workspaces: Workspaces, connection: http.client.HTTPConnection
) -> None:
    ann = Browser(connection, sign_in(connection, "ann@x"))
    assert ann.rows("tasks") == [{"id": "1", "hours": "1", "project_id": "1"}]
    [row] = ann.page("tasks/").main.each("tbody").all("tr")
    assert [row.each("th").text, *(each.text for each in row.all("td"))] == [
        *("Task 1", "", "1", "of Acme")
    ]
    assert ann.save("tasks/new/", hours="7", project_id="1")[0] == 303
    [added] = workspaces.values("SELECT id FROM tasks WHERE hours = 7")
    assert workspaces.values(f"SELECT account_id FROM tasks WHERE id = {added}") == [1]
    path = f"tasks/row/{added}"
    # A task has no updated_at by which one could tell that somebody else has changed it.
    assert ann.save(path, hours="8")[0] == 303
    assert ann.save(path, hours="8")[0] == 303
    assert workspaces.values(f"SELECT hours FROM tasks WHERE id = {added}") == [8]
    assert ann.save("tasks/new/", hours="7", project_id="2")[0] == 422
    assert ann.ask("GET", f"{ROWS}tasks/row/2")[0] == 404
    assert ann.save("tasks/row/2", path, hours="0")[0] == 404
    gone = ann.page(f"tasks/delete/?row={added}").fields()
    assert ann.ask("POST", f"{ROWS}tasks/delete/", urlencode(gone | {"row": "2"}))[0] == 404
    assert ann.ask("POST", f"{ROWS}tasks/delete/", urlencode(gone))[0] == 303
    assert workspaces.values("SELECT hours FROM tasks ORDER BY id") == [1, 2]
    assert [row["title"] for row in ann.rows("workspaces")] == ["Acme"]


def test_metrics_are_of_its_tables(workspaces: Workspaces) -> None:
    told = workspaces.service.request("/metrics").body
    assert 'partman_table_rows_estimate{table="tasks"} 2.0' in told
    assert "organizations" not in told
