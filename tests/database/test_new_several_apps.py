"""``partman new`` in a project of several apps: each app is given what is its own."""

import json
import shutil
import signal

import pytest

from tests.catalog import catalog
from tests.several_apps import SeveralApps
from tests.support import Completed

BLOG = """
class Author(Table):
    name = Varchar()
    extras = (
        "CREATE INDEX author_lower_name ON author (lower(name))",
        "CREATE VIEW authors AS SELECT name FROM author",
    )
"""
SHOP = """
from blog.tables import Author

class Item(Table):
    author = ForeignKey(Author)
    price = Integer()
    extras = (
        "CREATE INDEX item_price ON item (price)",
        "CREATE VIEW sold AS SELECT name, price FROM item JOIN author ON author.id = item.author",
    )
"""


def new(several: SeveralApps, name: str, *arguments: str) -> Completed:
    return several.partman("new", name, "--auto_input", "n", *arguments)


def written(several: SeveralApps, name: str, *arguments: str) -> None:
    """Write what is missing, and run it; then there is nothing left to do."""
    completed = new(several, name, *arguments)
    assert completed.code == 0, completed.output
    assert "Written" in completed.stdout
    forwards(several)


def forwards(several: SeveralApps) -> None:
    completed = several.piccolo("forwards", "all")
    assert completed.code == 0, completed.output


def is_complete(several: SeveralApps) -> None:
    """Whether nothing is to do, and the migrations build what the database has."""
    again = new(several, "again")
    assert again.stdout.startswith("Nothing to do"), again.output
    drift = several.partman("drift")
    assert "no difference" in drift.stdout, drift.output


def text(several: SeveralApps, app: str) -> str:
    """The newest migration of an app."""
    return several.files(app)[-1].read_text()


@pytest.fixture
def blog_and_shop(several: SeveralApps) -> SeveralApps:
    """Two apps, of which the second refers to the first, registered the wrong way round."""
    several.register("shop", "blog")
    several.app("blog", BLOG)
    several.app("shop", SHOP, needs=["blog"])
    return several


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
        several.register("blog", "shop")
        assert several.partman("verify").code == 0
        assert several.piccolo("backwards", "all", "--auto_agree").code == 0
        assert catalog(several.database.url) == empty
        forwards(several)
        is_complete(several)

    def test_what_needs_a_later_app_comes_with_that_one(self, blog_and_shop: SeveralApps) -> None:
        """A policy and a view of the first app read a table of the second one."""
        written(blog_and_shop, "first")
        reading = BLOG.replace(
            "    extras = (",
            """    extras = (
        "ALTER TABLE author ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY sells ON author USING (EXISTS (SELECT FROM item WHERE author = author.id))",
        "CREATE VIEW prices AS SELECT price FROM item",
""",
        )
        blog_and_shop.app("blog", reading)
        written(blog_and_shop, "sells")
        assert "ENABLE ROW LEVEL SECURITY" in text(blog_and_shop, "blog")
        assert "POLICY" not in text(blog_and_shop, "blog")
        assert "CREATE POLICY sells ON author" in text(blog_and_shop, "shop")
        assert "CREATE VIEW prices" in text(blog_and_shop, "shop")
        is_complete(blog_and_shop)
        blog_and_shop.app("blog", BLOG)
        written(blog_and_shop, "no more")
        assert "DROP POLICY" not in text(blog_and_shop, "blog")
        assert "DROP POLICY sells ON author" in text(blog_and_shop, "shop")
        is_complete(blog_and_shop)
        blog_and_shop.register("blog", "shop")
        verified = blog_and_shop.partman("verify")
        assert verified.code == 0, verified.output

    def test_what_goes_is_dropped_by_the_app_that_has_made_it(
        self, blog_and_shop: SeveralApps
    ) -> None:
        """And not before what needs it."""
        one = "CREATE FUNCTION one() RETURNS int RETURN 1"
        two = "CREATE FUNCTION two() RETURNS int RETURN one() + 1"
        blog_and_shop.app("blog", BLOG, database_extras=[one])
        blog_and_shop.app("shop", SHOP, needs=["blog"], database_extras=[two])
        written(blog_and_shop, "first")
        blog_and_shop.app("blog", BLOG.replace('"CREATE VIEW', '# "'))
        blog_and_shop.app("shop", SHOP.replace('"CREATE VIEW', '# "'), needs=["blog"])
        written(blog_and_shop, "less")
        assert "DROP VIEW authors" in text(blog_and_shop, "blog")
        assert "FUNCTION one()" not in text(blog_and_shop, "blog")
        shop = text(blog_and_shop, "shop")
        assert shop.index('forwards="DROP FUNCTION two()') < shop.index("DROP FUNCTION one()")
        assert "DROP VIEW sold" in shop
        is_complete(blog_and_shop)

    def test_what_two_apps_have_made_one_after_the_other_is_the_later_ones(
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

    def test_rights_on_all_tables_go_to_the_app_of_the_table(
        self, blog_and_shop: SeveralApps
    ) -> None:
        granted = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC"
        blog_and_shop.app("blog", BLOG, database_extras=[granted])
        written(blog_and_shop, "first")
        assert "GRANT SELECT ON author" in text(blog_and_shop, "blog")
        assert "GRANT SELECT ON item" in text(blog_and_shop, "shop")
        is_complete(blog_and_shop)

    def test_slow_and_quick_changes_stay_in_their_app(self, blog_and_shop: SeveralApps) -> None:
        written(blog_and_shop, "first")
        blog_and_shop.app("blog", BLOG.replace("lower(name)", "upper(name)"))
        changed = SHOP.replace("(price)", "(price, id)").replace(
            "    price =", "    stock = Integer()\n    price ="
        )
        blog_and_shop.app("shop", changed, needs=["blog"])
        completed = new(blog_and_shop, "other", "--json")
        assert completed.code == 0, completed.output
        files = json.loads(completed.stdout)["written"]
        assert [(file["app"], file["online"]) for file in files] == [
            ("blog", True),
            ("shop", False),
            ("shop", True),
        ]
        assert [file["id"] for file in files] == sorted(file["id"] for file in files)
        forwards(blog_and_shop)
        is_complete(blog_and_shop)


class TestOneApp:
    def test_is_written_for_alone(self, blog_and_shop: SeveralApps) -> None:
        written(blog_and_shop, "first")
        blog_and_shop.app("blog", BLOG.replace("lower", "upper"))
        blog_and_shop.app("shop", SHOP.replace("(price)", "(price, id)"), needs=["blog"])
        completed = new(blog_and_shop, "shop only", "--app", "shop")
        assert completed.code == 0, completed.output
        assert "Left out: the migrations of app blog" in completed.stdout
        assert len(blog_and_shop.files("blog")) == 1
        assert "(price, id)" in text(blog_and_shop, "shop")
        forwards(blog_and_shop)
        nothing = new(blog_and_shop, "again", "--app", "shop")
        assert nothing.stdout.startswith("Nothing was written.")
        written(blog_and_shop, "blog", "--app", "blog")
        assert "upper(name)" in text(blog_and_shop, "blog")
        is_complete(blog_and_shop)

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


class TestAnEmptyDatabase:
    """Where all migrations of one app run before those of the next."""

    def refused(self, several: SeveralApps, name: str, *answer: str) -> str:
        before = several.files("blog"), several.files("shop")
        completed = several.partman("new", name, "--auto_input", *(answer or ("n",)))
        assert completed.code == 1, completed.output
        assert (several.files("blog"), several.files("shop")) == before
        return completed.stderr

    def test_cannot_be_built_when_a_table_is_renamed_that_a_later_app_refers_to(
        self, blog_and_shop: SeveralApps
    ) -> None:
        written(blog_and_shop, "first")
        renamed = BLOG.replace("Author(Table)", 'Author(Table, tablename="writer")')
        blog_and_shop.app("blog", renamed.replace(" author", " writer"))
        blog_and_shop.app(
            "shop",
            SHOP.replace("JOIN author ON author.id", "JOIN writer ON writer.id"),
            needs=["blog"],
        )
        said = self.refused(blog_and_shop, "rename", "y")
        assert "The table author of app blog is renamed, and app shop refers to it" in said
        assert 'tablename="author"' in said

    def test_does_not_mind_a_class_that_is_renamed(self, blog_and_shop: SeveralApps) -> None:
        written(blog_and_shop, "first")
        renamed = BLOG.replace("Author(Table)", 'Writer(Table, tablename="author")')
        blog_and_shop.app("blog", renamed.replace("    name =", "    age = Integer()\n    name ="))
        blog_and_shop.app("shop", SHOP.replace("Author", "Writer"), needs=["blog"])
        completed = blog_and_shop.partman("new", "class", "--auto_input", "y")
        assert completed.code == 0, completed.output
        assert "manager.rename_table(" in blog_and_shop.files("blog")[1].read_text()
        assert "manager.add_column(" in text(blog_and_shop, "blog")
        forwards(blog_and_shop)
        is_complete(blog_and_shop)

    def test_cannot_be_built_when_a_view_goes_that_a_later_app_has_shown_once(
        self, blog_and_shop: SeveralApps
    ) -> None:
        """It does not any more, but the migrations that have built it so do."""
        written(blog_and_shop, "first")
        blog_and_shop.write(
            "shop",
            "2027-01-01T00:00:00:000000",
            "CREATE VIEW once AS SELECT * FROM authors",
            "DROP VIEW once",
        )
        forwards(blog_and_shop)
        blog_and_shop.app("blog", BLOG.replace('"CREATE VIEW', '# "'))
        said = self.refused(blog_and_shop, "no authors")
        assert "but not for an empty one" in said
        assert "2027-01-01T00:00:00:000000 of shop fails" in said
        assert 'relation "authors" does not exist' in said

    def test_has_to_end_as_the_others(self, blog_and_shop: SeveralApps) -> None:
        """What the later app's old migration makes must not come after what is new."""
        written(blog_and_shop, "first")
        blog_and_shop.write("shop", "2030-01-01T00:00:00:000000", "DROP TABLE IF EXISTS extra")
        forwards(blog_and_shop)
        blog_and_shop.app("blog", BLOG + "\nclass Extra(Table):\n    name = Varchar()\n")
        said = self.refused(blog_and_shop, "extra")
        assert "missing   table public.extra" in said

    def test_needs_no_table_of_a_later_app(self, several: SeveralApps) -> None:
        several.register("shop", "blog")
        several.app("blog", BLOG)
        several.app("shop", SHOP)
        said = self.refused(several, "first")
        assert "Item.author of app shop refers to the table author of app blog" in said
        assert "name 'blog.piccolo_app' in the migration_dependencies" in said

    def test_cannot_serve_two_apps_that_need_each_other(self, blog_and_shop: SeveralApps) -> None:
        blog_and_shop.app(
            "blog", BLOG + '\n    best = ForeignKey(LazyTableReference("Item", app_name="shop"))\n'
        )
        said = self.refused(blog_and_shop, "first")
        assert "Author.best of app blog refers to the table item of app shop" in said
        assert "The two apps need each other" in said

    def test_nor_when_a_column_goes_that_a_view_of_a_later_app_shows(
        self, blog_and_shop: SeveralApps
    ) -> None:
        written(blog_and_shop, "first")
        blog_and_shop.app("blog", BLOG.replace("Varchar()", "Text()"))
        said = self.refused(blog_and_shop, "text")
        assert "blog and shop need each other in one step" in said


class TestApps:
    def test_of_installed_packages_are_left_alone(self, several: SeveralApps) -> None:
        """Also where the project's own app changes their tables."""
        several.register("blog", "piccolo_admin.piccolo_app", "piccolo_api.token_auth.piccolo_app")
        several.app(
            "blog",
            """
            from piccolo.apps.user.tables import BaseUser

            class Author(Table):
                user = ForeignKey(BaseUser)
                extras = (
                    "CREATE INDEX user_lower_email ON piccolo_user (lower(email))",
                    "GRANT SELECT ON token_auth TO PUBLIC",
                )
            """,
            needs=["piccolo.apps.user.piccolo_app", "piccolo_api.token_auth.piccolo_app"],
        )
        written(several, "first")
        quick, slow = (file.read_text() for file in several.files("blog"))
        assert "GRANT SELECT ON token_auth" in quick
        assert "user_lower_email" in slow
        is_complete(several)

    def test_without_tables_or_migrations_or_a_folder(self, several: SeveralApps) -> None:
        several.register("none", "bare", "blog")
        several.app("none")
        several.app("bare")
        (several.migrations("bare") / "__init__.py").unlink()
        several.app("blog", BLOG)
        shutil.rmtree(several.migrations("blog"))
        written(several, "first")
        is_complete(several)
        for command in (["plan"], ["verify"], ["status"]):
            completed = several.partman(*command)
            assert completed.code == 0, completed.output

    def test_three_with_keys_in_a_row_in_any_order(self, several: SeveralApps) -> None:
        several.register("c", "a", "b")
        several.app("a", "class A(Table):\n    parent = ForeignKey('self')\n")
        lazy = "ForeignKey(LazyTableReference({!r}, app_name={!r}))"
        several.app("b", f"class B(Table):\n    a = {lazy.format('A', 'a')}\n", needs=["a"])
        several.app(
            "c",
            f"class C(Table):\n    a = {lazy.format('A', 'a')}\n    b = {lazy.format('B', 'b')}\n",
            needs=["b"],
        )
        written(several, "first")
        assert [len(several.files(app)) for app in "abc"] == [1, 1, 1]
        is_complete(several)
        several.register("a", "b", "c")
        for command in (["plan"], ["verify"]):
            completed = several.partman(*command)
            assert completed.code == 0, completed.output

    def test_whose_ids_are_of_another_form_get_newer_ones(self, several: SeveralApps) -> None:
        several.register("blog")
        several.app("blog", "")
        several.write("blog", "initial", "CREATE TABLE old (id int)", "DROP TABLE old")
        several.app("blog", BLOG)
        written(several, "first")
        assert several.id(several.files("blog")[-1]) > "initial"
        is_complete(several)

    def test_that_register_the_same_table_are_told(self, several: SeveralApps) -> None:
        several.register("blog", "shop")
        several.app("blog", BLOG)
        several.app("shop", "from blog.tables import Author\n")
        conf = several.folder / "shop" / "piccolo_app.py"
        conf.write_text(conf.read_text().replace("exclude_imported=True", "exclude_imported=False"))
        refused = new(several, "first")
        assert refused.code == 1
        assert "The table author is registered by the apps blog and shop" in refused.stderr


@pytest.mark.parametrize(
    "moment", ["Running Piccolo's operations", "Running it there", "Running all"]
)
def test_a_process_that_is_killed_leaves_no_file(blog_and_shop: SeveralApps, moment: str) -> None:
    written(blog_and_shop, "first")
    blog_and_shop.app("blog", BLOG.replace("name = ", "age = Integer()\n    name = "))
    files = {app: blog_and_shop.files(app) for app in ("blog", "shop")}
    process = blog_and_shop.start("partman", "new", "age")
    process.wait_for(moment)
    process.kill()
    assert process.wait().code == -signal.SIGKILL
    assert {app: blog_and_shop.files(app) for app in ("blog", "shop")} == files
    written(blog_and_shop, "age")
    is_complete(blog_and_shop)


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
