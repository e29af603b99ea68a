"""``partman new`` in a project of several apps: each app is given what is its own."""

import itertools
import json
import signal
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.catalog import catalog
from tests.database.new_support import BLOG, SHOP, forwards, is_complete, new, text, written
from tests.faults.cutting import CuttingProxy
from tests.several_apps import SeveralApps
from tests.support import Database

if TYPE_CHECKING:
    from tests.faults.processes import Process

pytestmark = pytest.mark.same_on_every_version


class TestWhereItGoes:
    def test_each_app_gets_its_own_and_the_database_what_the_app_declares(
        self, blog_and_shop: SeveralApps
    ) -> None:
        several = blog_and_shop
        several.app("blog", BLOG, database_extras=["CREATE FUNCTION one() RETURNS int RETURN 1"])
        several.app(
            "shop",
            SHOP,
            needs=["blog"],
            database_extras=[
                "CREATE SCHEMA money",
                "CREATE TYPE money.kind AS ENUM ('coin')",
                "CREATE FUNCTION two() RETURNS int RETURN one() + 1",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA money GRANT SELECT ON TABLES TO PUBLIC",
            ],
        )
        empty = catalog(several.database.url)
        completed = new(several, "first")
        assert completed.code == 0, completed.output
        [blog], [shop] = several.files("blog"), several.files("shop")
        assert completed.stdout.splitlines()[1:3] == [f"  blog: {blog}", f"  shop: {shop}"]
        assert several.id(blog) < several.id(shop)
        for words in ("author_lower_name", "VIEW authors", "FUNCTION one()"):
            assert words in blog.read_text()
            assert f"CREATE {words}" not in shop.read_text()
        for words in (
            "item_price",
            "VIEW sold",
            "SCHEMA money",
            "money.kind",
            "two()",
            "DEFAULT P",
        ):
            assert words in shop.read_text()
            assert words not in blog.read_text()
        forwards(several)
        is_complete(several)
        assert several.partman("verify").code == 0
        assert several.piccolo("backwards", "all", "--auto_agree").code == 0
        assert catalog(several.database.url) == empty
        forwards(several)
        is_complete(several)

    def test_an_object_that_needs_a_later_app_is_in_its_migration(
        self, migrated: SeveralApps
    ) -> None:
        """A policy and a view of the first app read a table of the second one."""
        reading = BLOG.replace(
            "    extras = (",
            """    extras = (
        "ALTER TABLE author ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY sells ON author USING (EXISTS (SELECT FROM item WHERE author = author.id))",
        "CREATE VIEW prices AS SELECT price FROM item",
""",
        )
        migrated.app("blog", reading)
        written(migrated, "sells")
        assert "ENABLE ROW LEVEL SECURITY" in text(migrated, "blog")
        assert "POLICY" not in text(migrated, "blog")
        assert "CREATE POLICY sells ON author" in text(migrated, "shop")
        assert "CREATE VIEW prices" in text(migrated, "shop")
        is_complete(migrated)
        migrated.app("blog", BLOG)
        written(migrated, "no more")
        assert "DROP POLICY" not in text(migrated, "blog")
        assert "DROP POLICY sells ON author" in text(migrated, "shop")
        is_complete(migrated)
        verified = migrated.partman("verify")
        assert verified.code == 0, verified.output

    def test_an_object_is_dropped_by_the_app_that_created_it(
        self, blog_and_shop: SeveralApps
    ) -> None:
        """And not before what needs it. Rights on all tables go to the app of each table."""
        function = "CREATE FUNCTION one() RETURNS int RETURN 1"
        granted = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"
        two = "CREATE FUNCTION two() RETURNS int RETURN one() + 1"
        blog_and_shop.app("blog", BLOG, database_extras=[function, granted])
        blog_and_shop.app("shop", SHOP, needs=["blog"], database_extras=[two])
        written(blog_and_shop, "first")
        assert "GRANT SELECT ON author" in text(blog_and_shop, "blog")
        assert "GRANT SELECT ON item" in text(blog_and_shop, "shop")
        without_views = BLOG.replace('"CREATE VIEW', '# "')
        blog_and_shop.app("blog", without_views, database_extras=[granted])
        blog_and_shop.app("shop", SHOP.replace('"CREATE VIEW', '# "'), needs=["blog"])
        written(blog_and_shop, "less")
        assert "DROP VIEW authors" in text(blog_and_shop, "blog")
        assert "FUNCTION one()" not in text(blog_and_shop, "blog")
        shop = text(blog_and_shop, "shop")
        assert shop.index('forwards="DROP FUNCTION two()') < shop.index("DROP FUNCTION one()")
        assert "DROP VIEW sold" in shop
        is_complete(blog_and_shop)

    def test_an_object_changed_by_two_apps_belongs_to_the_later_one(
        self, blog_and_shop: SeveralApps
    ) -> None:
        """Otherwise an empty database would end with what the later app had made before."""
        said = "CREATE OR REPLACE FUNCTION said() RETURNS int RETURN {}"
        blog_and_shop.app("blog", BLOG, database_extras=[said.format(1)])
        written(blog_and_shop, "first")
        blog_and_shop.app("shop", SHOP, needs=["blog"], database_extras=[said.format(2)])
        written(blog_and_shop, "second")
        assert "FUNCTION said()" in text(blog_and_shop, "shop")
        blog_and_shop.app("blog", BLOG, database_extras=[said.format(3)])
        blog_and_shop.app("shop", SHOP, needs=["blog"])
        written(blog_and_shop, "third")
        assert "RETURN 3" in text(blog_and_shop, "shop")
        assert len(blog_and_shop.files("blog")) == 1
        is_complete(blog_and_shop)

    def test_slow_and_quick_changes_stay_in_their_app(self, migrated: SeveralApps) -> None:
        migrated.app("blog", BLOG.replace("lower(name)", "upper(name)"))
        changed = SHOP.replace("(price)", "(price, id)").replace(
            "    price =", "    stock = Integer()\n    price ="
        )
        migrated.app("shop", changed, needs=["blog"])
        completed = new(migrated, "other", "--json")
        assert completed.code == 0, completed.output
        files = json.loads(completed.stdout)["written"]
        assert [(file["app"], file["online"]) for file in files] == [
            ("blog", True),
            ("shop", False),
            ("shop", True),
        ]
        assert [file["id"] for file in files] == sorted(file["id"] for file in files)
        forwards(migrated)
        is_complete(migrated)


class TestOneApp:
    def test_is_written_for_alone(self, migrated: SeveralApps) -> None:
        migrated.app("blog", BLOG.replace("lower", "upper"))
        migrated.app("shop", SHOP.replace("(price)", "(price, id)"), needs=["blog"])
        completed = new(migrated, "shop only", "--app", "shop")
        assert completed.code == 0, completed.output
        assert "Left out: the migrations of app blog" in completed.stdout
        assert len(migrated.files("blog")) == 1
        assert "(price, id)" in text(migrated, "shop")
        forwards(migrated)
        nothing = new(migrated, "again", "--app", "shop")
        assert nothing.stdout.startswith("Nothing was written.")
        written(migrated, "blog", "--app", "blog")
        assert "upper(name)" in text(migrated, "blog")
        is_complete(migrated)

    def test_whose_changes_need_another_one_is_refused(self, blog_and_shop: SeveralApps) -> None:
        refused = new(blog_and_shop, "first", "--app", "shop")
        assert refused.code == 1
        assert 'relation "author" does not exist' in refused.stderr
        assert blog_and_shop.files("shop") == []

    @pytest.mark.parametrize(
        ("app", "reason"), [("chop", "is not registered"), ("user", "installed package")]
    )
    def test_has_to_be_the_projects_own(self, several: SeveralApps, app: str, reason: str) -> None:
        several.register("blog", "piccolo.apps.user.piccolo_app")
        several.app("blog", BLOG)
        refused = new(several, "first", "--app", app)
        assert refused.code == 2
        assert reason in refused.stderr
        assert "The project's apps are: blog" in refused.stderr


def test_a_process_that_is_killed_leaves_no_file(migrated: SeveralApps) -> None:
    migrated.app("blog", BLOG.replace("name = ", "age = Integer()\n    name = "))
    files = {app: migrated.files(app) for app in ("blog", "shop")}
    moments = itertools.count(1)
    while (code := _new_killed_at(migrated, moment := next(moments))) != 0:
        assert code == -signal.SIGKILL
        assert {app: migrated.files(app) for app in ("blog", "shop")} == files, moment
    assert moment > 3
    assert len(migrated.files("blog")) == len(files["blog"]) + 1
    forwards(migrated)
    is_complete(migrated)


def _new_killed_at(several: SeveralApps, creation: int) -> int:
    """Kill the command as it asks for its n-th database; return its exit code."""
    process: Future[Process] = Future()
    with CuttingProxy(
        several.database,
        at_request=(b"CREATE DATABASE", creation),
        cut=lambda: process.result().kill(),
    ) as proxy:
        process.set_result(
            replace(several, database=Database(proxy.url)).start("partman", "new", "age")
        )
        return process.result().wait().code


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("Varchar", "lambda: 'x'"),
        ("Varchar", "functools.partial(str, 'x')"),
        ("Real", "random.random"),
        ("Real", "Made()"),
        ("Real", "Made().number"),
    ],
)
def test_a_default_that_piccolo_cannot_write_is_named(
    several: SeveralApps, kind: str, default: str
) -> None:
    several.register("blog")
    several.app(
        "blog",
        f"""
        import functools, random

        class Made:
            def __call__(self):
                return 1.0
            def number(self):
                return 1.0

        class Author(Table):
            name = {kind}(default={default})
        """,
    )
    refused = new(several, "first")
    assert refused.code == 1, refused.output
    assert "the default of author.name of app blog" in refused.stderr
    assert several.files("blog") == []
