"""``partman new`` with apps of all kinds: of packages, without tables, with confusing files."""

import shutil

import pytest

from tests.database.new_support import BLOG, forwards, is_complete, new, written
from tests.several_apps import SeveralApps
from tests.support import query

pytestmark = pytest.mark.same_on_every_version


class TestApps:
    def test_of_installed_packages_are_left_alone(self, several: SeveralApps) -> None:
        """Also where the project's own app changes their tables."""
        several.register(
            "blog", "piccolo_api.session_auth.piccolo_app", "piccolo_api.token_auth.piccolo_app"
        )
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
        assert several.partman("verify").code == 0

    def test_without_tables_or_migrations_or_a_folder(self, several: SeveralApps) -> None:
        several.register("none", "bare", "blog")
        several.app("none")
        several.app("bare")
        (several.migrations("bare") / "__init__.py").unlink()
        several.app("blog", BLOG)
        shutil.rmtree(several.migrations("blog"))
        refused = several.partman("drift")
        assert refused.code == 10, refused.output
        assert "The migrations of the app blog cannot be listed" in refused.stderr
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


class TestNamesOfFiles:
    def test_that_two_apps_have_are_refused_before_anything_runs(
        self, blog_and_shop: SeveralApps
    ) -> None:
        several = blog_and_shop
        several.write("blog", "2026-01-01", "CREATE TABLE one (id int)", stem="initial")
        several.write("shop", "2026-01-02", "CREATE TABLE two (id int)", stem="initial")
        for command in (["forwards", "all"], ["forwards", "shop"], ["check"]):
            refused = several.piccolo(*command)
            assert refused.code == 10, refused.output
            assert "both have a migration file initial.py" in refused.stderr
        for partman in (["new", "x"], ["drift"], ["plan"], ["verify"], ["adopt"]):
            refused = several.partman(*partman)
            assert refused.code == 10, refused.output
            assert "both have a migration file initial.py" in refused.stderr
        assert query(several.database.url, "SELECT FROM pg_tables WHERE tablename = 'one'") == []
        several.migrations("shop").joinpath("initial.py").rename(
            several.migrations("shop") / "shop_initial.py"
        )
        forwards(several)

    def test_that_a_module_has_are_refused(self, several: SeveralApps) -> None:
        """Piccolo would take the module for the file, and never run the migration."""
        several.register("blog")
        several.app("blog", "")
        several.write("blog", "2026-01-01", "CREATE TABLE one (id int)", stem="types")
        refused = several.piccolo("forwards", "all")
        assert refused.code == 10
        assert "Piccolo does not import" in refused.stderr
