"""``partman new`` writes nothing that would keep an empty database from being built."""

import pytest

from tests.database.new_support import BLOG, SHOP, forwards, is_complete, text
from tests.several_apps import SeveralApps

pytestmark = pytest.mark.same_on_every_version


class TestAnEmptyDatabase:
    """Where all migrations of one app run before those of the next."""

    def refused(self, several: SeveralApps, name: str, *answer: str) -> str:
        before = several.files("blog"), several.files("shop")
        completed = several.partman("new", name, "--auto_input", *(answer or ("n",)))
        assert completed.code == 1, completed.output
        assert (several.files("blog"), several.files("shop")) == before
        return completed.stderr

    def test_cannot_be_built_when_a_table_is_renamed_that_a_later_app_refers_to(
        self, migrated: SeveralApps
    ) -> None:
        renamed = BLOG.replace("Author(Table)", 'Author(Table, tablename="writer")')
        migrated.app("blog", renamed.replace(" author", " writer"))
        migrated.app(
            "shop",
            SHOP.replace("JOIN author ON author.id", "JOIN writer ON writer.id"),
            needs=["blog"],
        )
        message = self.refused(migrated, "rename", "y")
        assert "The table author of app blog is renamed, and app shop refers to it" in message
        assert 'tablename="author"' in message

    def test_does_not_mind_a_class_that_is_renamed(self, migrated: SeveralApps) -> None:
        renamed = BLOG.replace("Author(Table)", 'Writer(Table, tablename="author")')
        migrated.app("blog", renamed.replace("    name =", "    age = Integer()\n    name ="))
        migrated.app("shop", SHOP.replace("Author", "Writer"), needs=["blog"])
        completed = migrated.partman("new", "class", "--auto_input", "y")
        assert completed.code == 0, completed.output
        assert "manager.rename_table(" in migrated.files("blog")[1].read_text()
        assert "manager.add_column(" in text(migrated, "blog")
        forwards(migrated)
        is_complete(migrated)

    def test_cannot_be_built_when_a_view_goes_that_a_later_app_has_shown_once(
        self, migrated: SeveralApps
    ) -> None:
        """It does not any more, but the migrations that have built it so do."""
        migrated.write(
            "shop",
            "2027-01-01T00:00:00:000000",
            "CREATE VIEW once AS SELECT * FROM authors",
            "DROP VIEW once",
        )
        forwards(migrated)
        migrated.app("blog", BLOG.replace('"CREATE VIEW', '# "'))
        message = self.refused(migrated, "no authors")
        assert "but not on an empty one" in message
        assert "2027-01-01T00:00:00:000000 of shop fails" in message
        assert 'relation "authors" does not exist' in message

    def test_has_to_end_as_the_others(self, migrated: SeveralApps) -> None:
        """What the later app's old migration makes must not come after what is new."""
        migrated.write("shop", "2030-01-01T00:00:00:000000", "DROP TABLE IF EXISTS extra")
        forwards(migrated)
        migrated.app("blog", BLOG + "\nclass Extra(Table):\n    name = Varchar()\n")
        message = self.refused(migrated, "extra")
        assert "missing   table public.extra" in message

    def test_needs_no_table_of_a_later_app(self, several: SeveralApps) -> None:
        several.register("shop", "blog")
        several.app("blog", BLOG)
        several.app("shop", SHOP)
        message = self.refused(several, "first")
        assert "Item.author of app shop refers to the table author of app blog" in message
        assert "name 'blog.piccolo_app' in the migration_dependencies" in message

    def test_cannot_serve_two_apps_that_need_each_other(self, blog_and_shop: SeveralApps) -> None:
        blog_and_shop.app(
            "blog", BLOG + '\n    best = ForeignKey(LazyTableReference("Item", app_name="shop"))\n'
        )
        message = self.refused(blog_and_shop, "first")
        assert "Author.best of app blog refers to the table item of app shop" in message
        assert "The two apps depend on each other" in message

    def test_nor_when_a_column_goes_that_a_view_of_a_later_app_shows(
        self, migrated: SeveralApps
    ) -> None:
        migrated.app("blog", BLOG.replace("Varchar()", "Text()"))
        message = self.refused(migrated, "text")
        assert "blog and shop depend on each other" in message
