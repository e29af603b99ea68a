"""A project that Piccolo's own template has made, through every command, stock and partman's.

It has two apps of its own, apps of packages, and in the end a tenancy of its own. It is migrated
by Piccolo's engine first, and switches to partman's when its database is in use.
"""

import asyncio
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from piccolo.apps.migrations.piccolo_app import APP_CONFIG as PICCOLOS_MIGRATIONS

from partman.apps import OWN_COMMANDS
from partman.isolation import Roles
from partman.isolation.roles import drop_roles
from tests import shared
from tests.faults.processes import Zygote
from tests.foreign.conftest import keep_set_config_from_public
from tests.serve.processes import serving
from tests.support import Completed, Database, execute, query, server_url

pytestmark = pytest.mark.same_on_every_version

APPS = [
    "shop.piccolo_app",  # before the one that it depends on
    "blog.piccolo_app",
    "piccolo.apps.user.piccolo_app",
    "piccolo_api.session_auth.piccolo_app",
    "piccolo_api.token_auth.piccolo_app",
]

NEEDED_BY_THE_SHOP = ["blog.piccolo_app", "piccolo_api.token_auth.piccolo_app"]

BLOG = """
from piccolo.columns import Serial, Varchar
from piccolo.table import Table


class Workspace(Table, tablename="workspaces"):
    id = Serial(primary_key=True)
    name = Varchar(length=100)
"""
SHOP = """
from blog.tables import Workspace
from piccolo.columns import ForeignKey, Integer
from piccolo.table import Table


class Invoice(Table, tablename="invoices"):
    workspace = ForeignKey(Workspace)
    amount = Integer()
"""

TENANCY = """
from partman.isolation import Key, Roles, Tenancy

TENANCY = Tenancy(
    table="workspaces",
    column="account_id",
    key=Key.INTEGER,
    roles=Roles.named("PREFIX"),
    setting="blog.account_id",
)
"""
BLOG_WITH_TENANTS = """
from piccolo.columns import ForeignKey, Serial, Varchar
from piccolo.constraints import Unique
from piccolo.table import Table

from blog.tenancy import TENANCY
from partman import isolation
from partman.isolation import tenants_table_extras


class Workspace(Table, tablename="workspaces"):
    id = Serial(primary_key=True)
    name = Varchar(length=100)

    extras = tenants_table_extras(TENANCY, may_change=["name"])


class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Workspace):
    id = Serial(primary_key=True)
    account: ForeignKey[Workspace]


class Post(TenantTable, Table, tablename="posts"):
    title = Varchar(length=100)

    posts_account_id_id_key = Unique(["account_id", "id"])
"""
SHOP_WITH_TENANTS = (
    SHOP
    + """

from blog.tables import Post, TenantTable
from partman.isolation import TenantReference


class Order(TenantTable, Table, tablename="orders"):
    post = TenantReference(Post, null=False, db_column_name="post_id")
    amount = Integer()

    extras = ("CREATE INDEX orders_post ON orders (account_id, post_id)",)
"""
)
IS_ADMIN = ("--is_admin=true", "--is_superuser=true", "--is_active=true")
INDEXES = """
    extras = (
        "CREATE INDEX invoices_workspace ON invoices (workspace)",
        'CREATE INDEX token_auth_user ON token_auth ("user")',
    )
"""
APPLICATION = """
import asyncio

from blog.tables import Post, Workspace
from partman.tenant import tenant
from shop.tables import Order


async def main():
    await Workspace.insert(Workspace(name="Ada's"), Workspace(name="Bob's"))
    for account in (1, 2):
        async with tenant(account):
            post = Post(account=account, title=f"of {account}")
            await post.save()
            await Order(account=account, post=post.id, amount=account).save()
    async with tenant(2):
        print(await Post.select(Post.title), await Order.count())


asyncio.run(main())
"""


@dataclass(frozen=True)
class Foreign:
    """The project, and what was run in it."""

    folder: Path
    prefix: str
    """What the names of its roles begin with: no other project of the server has such."""
    database: Database
    typed: set[tuple[str, ...]] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.database.environment,
            "PYTHONPATH": str(self.folder),
            "PARTMAN_DATA_DIR": str(self.folder / ".partman"),
        }

    def run(self, *command: str, code: int = 0, **variables: str) -> Completed:
        self.typed.add(command[: 3 if command[:2] == ("piccolo", "migrations") else 2])
        completed = Zygote("library").run(
            *command, environment=self.environment | variables, cwd=self.folder
        )
        assert completed.code == code, f"{command}\n{completed.output}"
        assert "Traceback" not in completed.output, completed.output
        return completed

    def partman(self, *arguments: str, code: int = 0) -> str:
        return self.run("partman", *arguments, code=code).stdout

    def migrations(self, *arguments: str, code: int = 0) -> str:
        return self.run("piccolo", "migrations", *arguments, code=code).stdout

    def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(
            textwrap.dedent(text).lstrip().replace("PREFIX", self.prefix)
        )

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        text = (self.folder / file).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (file, old)
            text = text.replace(old, new)
        (self.folder / file).write_text(text)

    def files(self, app: str) -> list[Path]:
        return sorted((self.folder / app / "piccolo_migrations").glob(f"{app}_*.py"))

    def is_clean(self) -> None:
        """Whether nothing is pending, and nothing is to be noted or different."""
        status = self.partman("status")
        assert "0 pending" in status
        assert "Note:" not in status
        assert "no difference  " in self.partman("drift")

    def is_written(self) -> None:
        """Whether the migrations have all that the table classes say, whatever the database has."""
        assert self.partman("new", "again").startswith("Nothing to do")


@pytest.fixture
def foreign(tmp_path: Path, empty_database: Database) -> Iterator[Foreign]:
    prefix = shared.unique_name()
    asyncio.run(keep_set_config_from_public(empty_database))
    try:
        yield Foreign(tmp_path, prefix, empty_database)
    finally:
        execute(empty_database.url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        execute(server_url(), drop_roles(Roles.named(prefix).all))


def test_a_project_of_piccolos_template_goes_through_every_command(
    foreign: Foreign, tmp_path_factory: pytest.TempPathFactory
) -> None:
    on_piccolos_engine(foreign)
    on_partmans_engine(foreign)
    with_tenants(foreign)
    there_and_back(foreign)
    without_gaps(foreign)
    is_looked_at(foreign)
    is_used_by_packages(foreign)
    is_served(foreign, tmp_path_factory.mktemp("log"))
    foreign.is_clean()
    foreign.is_written()

    own = {command[1] for command in foreign.typed if command[0] == "partman"}
    assert own == OWN_COMMANDS
    stock = {command[2] for command in foreign.typed if command[:2] == ("piccolo", "migrations")}
    assert stock == {command.callable.__name__ for command in PICCOLOS_MIGRATIONS.get_commands()}


def on_piccolos_engine(foreign: Foreign) -> None:
    """What the template writes, with a database, apps and tables put in."""
    foreign.run("piccolo", "project", "new")
    foreign.run("piccolo", "app", "new", "blog")
    foreign.run("piccolo", "app", "new", "shop")
    foreign.edit(
        "piccolo_conf.py",
        ("PostgresEngine(config={})", 'PostgresEngine(config={"dsn": os.environ["DATABASE_URL"]})'),
        ("AppRegistry(apps=[])", f"AppRegistry(apps={APPS!r})"),
        ("from piccolo.conf.apps", "import os\n\nfrom piccolo.conf.apps"),
    )
    foreign.edit(
        "shop/piccolo_app.py",
        ("migration_dependencies=[]", f"migration_dependencies={NEEDED_BY_THE_SHOP!r}"),
    )
    foreign.write("blog/tables.py", BLOG)
    foreign.write("shop/tables.py", SHOP)
    for app in ("blog", "shop"):
        foreign.migrations("new", app, "--auto", "--desc=first")
    foreign.migrations("forwards", "all")
    refused = foreign.run("partman", "status", code=3)
    assert "has a PostgresEngine as DB, and partman needs its own" in refused.stderr


def on_partmans_engine(foreign: Foreign) -> None:
    """The switch, on a database that is in use: its ledger is taken over."""
    execute(foreign.database.url, "INSERT INTO workspaces (name) VALUES ('old'), ('older')")
    foreign.edit(
        "piccolo_conf.py",
        ("from piccolo.engine.postgres import PostgresEngine", "from partman.engine import DB"),
        ("PostgresEngine(config", "PartmanEngine(config"),
        ("import DB", "import PartmanEngine"),
    )
    assert "Note:" in foreign.partman("status")
    applied = len(query(foreign.database.url, "SELECT FROM migration"))
    assert f"{applied} migrations to record" in foreign.partman("adopt", "--dry-run")
    assert f"{applied} migrations recorded as adopted." in foreign.partman("adopt")
    foreign.is_clean()
    foreign.is_written()
    assert "tenant isolation was not audited." in foreign.partman("check")
    assert "No migrations need to be run" in foreign.migrations("forwards", "all")


def with_tenants(foreign: Foreign) -> None:
    """Tables of tenants in both apps, one referring to the other."""
    foreign.write("blog/tenancy.py", TENANCY)
    foreign.write("blog/tables.py", BLOG_WITH_TENANTS)
    foreign.write("shop/tables.py", SHOP_WITH_TENANTS)
    foreign.edit(
        "piccolo_conf.py",
        ("from partman.engine", "from blog.tenancy import TENANCY\nfrom partman.engine"),
        ('["DATABASE_URL"]}', '["DATABASE_URL"]}, tenancy=TENANCY'),
    )
    written = json.loads(foreign.partman("new", "tenants", "--json"))["written"]
    assert {file["app"] for file in written} == {"blog", "shop"}
    assert "tenants" in foreign.partman("plan")
    assert "CREATE POLICY" in foreign.partman("sql")
    # What it says of the locks depends on how long they were held.
    assert f"{len(written)} migrations rehearsed" in foreign.partman("rehearse")
    foreign.migrations("forwards", "blog", "--preview")
    foreign.migrations("forwards", "blog")
    assert "ready" in foreign.partman("wait")
    assert foreign.run("partman", "status", code=1).stdout.count("pending") >= 1
    foreign.partman("migrate")
    foreign.is_clean()
    foreign.is_written()
    foreign.write("application.py", APPLICATION)
    said = foreign.run("python", "-m", "application").stdout
    assert said == "[{'title': 'of 2'}] 1\n"


def there_and_back(foreign: Foreign) -> None:
    """The stock commands, with a migration by hand."""
    before = foreign.files("shop")
    foreign.migrations("new", "shop", "--desc=by hand")
    [by_hand] = {*foreign.files("shop")} - {*before}
    assert 'app_name=""' in by_hand.read_text()
    foreign.migrations("check")
    foreign.is_written()
    for again in ((), ("--fake",)):
        foreign.migrations("forwards", "shop", "1", *again)
        foreign.is_clean()
        foreign.migrations("backwards", "shop", "--auto_agree")
    by_hand.unlink()
    assert "No migrations exist in the table" in foreign.migrations("clean", "shop")
    foreign.partman("redo")
    newest = foreign.files("shop")[-1].read_text().partition('ID = "')[2].partition('"')[0]
    for how in ("--rolled-back", "--applied"):
        foreign.partman("resolve", how, newest)
    foreign.migrations("backwards", "shop", "--auto_agree")
    foreign.migrations("forwards", "all")
    assert query(foreign.database.url, "SELECT FROM orders") == [], "its table was made anew"
    assert len(query(foreign.database.url, "SELECT FROM posts")) == 2


def without_gaps(foreign: Foreign) -> None:
    """What the audit asks for, also for a package's table, is written by an app of the project."""
    gaps = json.loads(foreign.partman("check", "--json", code=1))["isolation"]["gaps"]
    assert [(gap["rule"], gap["object"]) for gap in gaps] == [
        ("foreign-key-without-index", "invoices_workspace_fkey ON public.invoices"),
        ("foreign-key-without-index", "token_auth_user_fkey ON public.token_auth"),
    ]
    foreign.edit(
        "shop/tables.py",
        ("    amount = Integer()\n\n\nfrom", f"    amount = Integer()\n{INDEXES}\n\nfrom"),
    )
    [written] = json.loads(foreign.partman("new", "indexes", "--json"))["written"]
    assert (written["app"], written["online"]) == ("shop", True)
    foreign.migrations("forwards", "all")
    checked = foreign.partman("check")
    assert checked.startswith("no gaps  3 tenant tables, ")
    assert "no gaps" in checked
    assert "all as migrated" in checked


def is_looked_at(foreign: Foreign) -> None:
    """What compares and draws."""
    verified = json.loads(foreign.partman("verify", "--json"))
    assert len(verified["verified"]) == len(query(foreign.database.url, "SELECT FROM migration"))
    runs = json.loads(foreign.partman("history", "--json"))
    assert {"adopted", "forwards", "backwards", "faked"} == {run["direction"] for run in runs}
    assert {"blog", "shop", "user", "session_auth", "token_auth"} == {run["app"] for run in runs}
    assert "posts" in foreign.partman("diagram")
    assert foreign.partman("diagram", "--format", "svg").startswith("<svg")
    assert "DATABASE_URL" in foreign.partman("server", "status", code=1)
    assert json.loads(foreign.partman("doctor", "--json"))["wrong"] == 0
    refused = foreign.run("partman", "reset", "--yes", code=1).stderr
    assert "does not say that it is for development" in refused
    # It is one server, without Citus.
    assert "CREATE EXTENSION citus" in foreign.partman("distribute", "--check", code=1)
    assert "not distributed" in foreign.run("partman", "undistribute", code=1).stderr


def is_used_by_packages(foreign: Foreign) -> None:
    """Their own commands, and Piccolo's that read the tables."""
    person = ("--username=ada", "--email=ada@example.com", "--password=analytical")
    foreign.run("piccolo", "user", "create", *person, *IS_ADMIN)
    assert query(foreign.database.url, "SELECT username FROM piccolo_user")[0][0] == "ada"
    foreign.run("piccolo", "session_auth", "clean")
    assert "class Posts(" in foreign.run("piccolo", "schema", "generate").stdout
    assert "Order" in foreign.run("piccolo", "schema", "graph").stdout
    assert '"older"' in foreign.run("piccolo", "fixtures", "dump", "blog", "Workspace").stdout


def is_served(foreign: Foreign, log: Path) -> None:
    """The service: it has no console here, so it answers the probes alone."""
    foreign.typed.add(("partman", "serve"))
    with serving(log, foreign.environment, cwd=foreign.folder, level="library") as service:
        ready = service.request("/health/ready")
        assert ready.status == 200, ready.body
        assert json.loads(ready.body)["problems"] == []
        assert service.request("/metrics").status == 200
        assert service.stop() == 0
