"""A fresh project with a tenancy: ``partman new`` writes its roles and its isolation."""

import asyncio
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from partman.isolation import Roles
from partman.isolation.roles import drop_roles
from tests import shared
from tests.faults.processes import Process, Zygote
from tests.faults.sessions import session, wait_for_a_waiting_run
from tests.foreign.conftest import keep_set_config_from_public
from tests.support import Database, execute, query, server_url

_FILES = {
    "piccolo_conf.py": """
        from piccolo.conf.apps import AppRegistry
        from partman.engine import PartmanEngine
        from shop.tenancy import TENANCY

        DB = PartmanEngine(tenancy=TENANCY)
        APP_REGISTRY = AppRegistry(apps=["shop.piccolo_app"])
        """,
    "shop/__init__.py": "",
    "shop/tenancy.py": """
        from partman.isolation import Key, Roles, Tenancy

        TENANCY = Tenancy(
            table="workspaces",
            column="account_id",
            key=Key.INTEGER,
            roles=Roles.named("PREFIX"),
            setting="shop.account_id",
        )
        """,
    "shop/tables.py": """
        from piccolo.columns import ForeignKey, Varchar
        from piccolo.constraints import Unique
        from piccolo.table import Table

        from partman import isolation
        from partman.isolation import TenantReference, tenants_table_extras
        from shop.tenancy import TENANCY


        class Workspace(Table, tablename="workspaces"):
            name = Varchar(length=50)
            extras = tenants_table_extras(TENANCY, may_change=["name"])


        class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Workspace):
            account: ForeignKey[Workspace]


        class Project(TenantTable, Table, tablename="projects"):
            name = Varchar(length=50)
            projects_key = Unique(["account_id", "id"])


        class Task(TenantTable, Table, tablename="tasks"):
            title = Varchar(length=50)
            project = TenantReference(Project, null=True, db_column_name="project_id")
            extras = ("CREATE INDEX tasks_project ON tasks (account_id, project_id)",)
        """,
    "shop/piccolo_app.py": """
        from pathlib import Path

        from piccolo.conf.apps import AppConfig, table_finder

        APP_CONFIG = AppConfig(
            app_name="shop",
            migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
            table_classes=table_finder(["shop.tables"]),
        )
        """,
}


@dataclass(frozen=True)
class Project:
    """The project, on a database with nothing in it."""

    folder: Path
    prefix: str
    """What the names of its roles begin with: no other project of the server has such."""
    database: Database

    def start(self, *command: str) -> Process:
        environment = {**self.database.environment, "PYTHONPATH": str(self.folder)}
        return Zygote("library").start(*command, environment=environment, cwd=self.folder)

    def succeeds(self, *command: str) -> str:
        """Run a command; return what it prints."""
        completed = self.start(*command).wait()
        assert completed.code == 0, completed.output
        return completed.stdout

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    @property
    def migrations(self) -> list[str]:
        """The migrations' texts, in the order in which they run."""
        found = (self.folder / "shop/piccolo_migrations").glob("shop_*.py")
        return [path.read_text() for path in sorted(found)]

    @property
    def roles(self) -> set[str]:
        """The kinds of its roles that the server has."""
        found = query(
            server_url(), "SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)", self.prefix
        )
        return {role.removeprefix(f"{self.prefix}_") for (role,) in found}

    def may_read(self, kind: str) -> list[bool]:
        """Whether a role may read each table that records what the migrations did."""
        found = query(
            self.database.url,
            "SELECT has_table_privilege($1, name, 'SELECT')"
            " FROM unnest('{migration, migration_history, migration_step}'::text[]) AS name",
            f"{self.prefix}_{kind}",
        )
        return [right for (right,) in found]

    def may_call_set_config(self, kind: str) -> bool:
        asked = "SELECT has_function_privilege($1, 'set_config(text, text, boolean)', 'EXECUTE')"
        return bool(query(self.database.url, asked, f"{self.prefix}_{kind}")[0][0])

    def goes_back(self) -> None:
        [first] = re.findall(r'^ID = "(.*)"', self.migrations[0], re.MULTILINE)
        self.succeeds("piccolo", "migrations", "backwards", "shop", first, "--auto_agree")

    def is_isolated(self) -> None:
        checked = self.succeeds("partman", "check")
        assert re.search(r"^no gaps  3 tenant tables, \d+ rules\.", checked)
        assert "all as migrated" in checked


@pytest.fixture
def prefix() -> Iterator[str]:
    name = shared.unique_name()
    yield name
    execute(server_url(), drop_roles(Roles.named(name).all))


@pytest.fixture
def fresh(tmp_path: Path, prefix: str, empty_database: Database) -> Project:
    """Without migrations."""
    for name, text in _FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip().replace("PREFIX", prefix))
    asyncio.run(keep_set_config_from_public(empty_database))
    return Project(tmp_path, prefix, empty_database)


@pytest.fixture
def written(fresh: Project) -> Project:
    """With its first migrations, on a server that has none of its roles."""
    fresh.succeeds("partman", "new", "first tables")
    execute(server_url(), drop_roles(Roles.named(fresh.prefix).all))
    assert fresh.roles == set()
    return fresh


def test_it_is_built_on_a_server_without_its_roles(written: Project) -> None:
    roles, tables = written.migrations
    assert 'DESCRIPTION = "first tables, roles"' in roles
    assert f"CREATE POLICY tenant_only ON tasks AS RESTRICTIVE TO {written.prefix}_app" in tables
    assert "ROLE" not in tables
    assert "-- EXECUTE on set_config: PUBLIC" in roles

    assert "first tables, roles" in written.succeeds("partman", "plan")
    assert written.roles == set(), "a plan leaves none"
    written.succeeds("partman", "migrate")
    assert written.roles == {"app", "api", "auth", "seed", "console"}
    written.is_isolated()
    assert written.succeeds("partman", "new", "again").startswith("Nothing to do")
    assert "no difference  " in written.succeeds("partman", "drift")
    written.succeeds("partman", "verify")
    assert written.may_call_set_config("api")
    assert written.may_read("console") == written.may_read("seed") == [True, True, True]
    assert written.may_read("app") == written.may_read("api") == [False, False, False]


def test_databases_of_one_server_share_the_roles(
    written: Project, other_database: Database
) -> None:
    other = replace(written, database=other_database)
    asyncio.run(keep_set_config_from_public(other_database))
    with session(server_url(), "BEGIN", f"CREATE ROLE {written.prefix}_app NOLOGIN") as elsewhere:
        run = written.start("partman", "migrate")
        wait_for_a_waiting_run(written.database.url)
        elsewhere.execute("COMMIT")
        ended = run.wait()
    assert ended.code == 0, ended.output
    other.succeeds("partman", "migrate")

    written.goes_back()
    assert len(written.roles) == 5, "the other database needs them"
    other.is_isolated()
    other.goes_back()
    assert written.roles == set()

    runs = [project.start("partman", "migrate") for project in (written, other)]
    assert [run.wait().code for run in runs] == [0, 0]
    written.is_isolated()
    other.is_isolated()


def test_a_role_added_later_gets_its_own_migration(fresh: Project) -> None:
    app, api, seed = (f'"{fresh.prefix}_{kind}"' for kind in ("app", "api", "seed"))
    few = f"Roles({app}, {api}, None, None, None)"
    fresh.edit("shop/tenancy.py", f'Roles.named("{fresh.prefix}")', few)
    fresh.succeeds("partman", "new", "first")
    assert fresh.roles == {"app", "api"}
    fresh.succeeds("partman", "migrate")
    fresh.edit("shop/tenancy.py", "None, None, None", f"None, {seed}, None")
    fresh.succeeds("partman", "new", "seeds")
    fresh.succeeds("partman", "migrate")
    fresh.is_isolated()
    assert "set_config: PUBLIC" not in fresh.migrations[2]
    assert f"'{{{fresh.prefix}_seed}}'::name[]" in fresh.migrations[2], "it drops no other"
    assert fresh.may_read("seed") == [True, True, True]

    [later] = re.findall(r'^ID = "(.*)"', fresh.migrations[2], re.MULTILINE)
    fresh.succeeds("piccolo", "migrations", "backwards", "shop", later, "--auto_agree")
    assert fresh.roles == {"app", "api"}
    used = "SELECT has_schema_privilege($1, 'public', 'USAGE')"
    assert query(fresh.database.url, used, f"{fresh.prefix}_app")[0][0], "still as it was"


@pytest.mark.same_on_every_version
def test_a_table_that_no_app_has_is_refused(fresh: Project) -> None:
    fresh.edit("shop/piccolo_app.py", '["shop.tables"])', '["shop.tables"], exclude_tags=["x"])')
    fresh.edit("shop/tables.py", 'tablename="tasks"', 'tablename="tasks", tags=["x"]')
    refused = fresh.start("partman", "new", "x").wait()
    assert refused.code == 1, refused.output
    assert "shop.tables.Task is in no app's table_classes. Nothing was done" in refused.stderr


@pytest.mark.same_on_every_version
def test_without_a_tenancy_check_says_that_it_did_not_audit(fresh: Project) -> None:
    fresh.edit("piccolo_conf.py", "tenancy=TENANCY", "")
    (fresh.folder / "shop/tables.py").write_text(
        "from piccolo.columns import Varchar\nfrom piccolo.table import Table\n\n\n"
        "class Post(Table):\n    title = Varchar()\n"
    )
    fresh.succeeds("partman", "new", "posts")
    [text] = fresh.migrations
    assert "ROLE" not in text
    fresh.succeeds("partman", "migrate")
    told = fresh.succeeds("partman", "check")
    assert "No tenancy is declared" in told
    assert "all as migrated" in told
    assert json.loads(fresh.succeeds("partman", "check", "--json"))["isolation"] is None
    assert "there are no rules" in fresh.succeeds("partman", "check", "--rules")
    assert fresh.roles == set()
