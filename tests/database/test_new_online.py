"""``partman new`` changes tables in use online, and says which classes it does not see."""

import pytest

from tests.database.new_support import BLOG, SHOP, forwards, is_complete, new, text
from tests.several_apps import SeveralApps

pytestmark = pytest.mark.same_on_every_version


def test_what_a_key_does_on_delete_changes_online(migrated: SeveralApps) -> None:
    """Piccolo would add the key again, and check all rows while nobody can write."""
    changed = SHOP.replace("ForeignKey(Author)", "ForeignKey(Author, on_delete=OnDelete.restrict)")
    migrated.app("shop", "from piccolo.columns.base import OnDelete\n" + changed, needs=["blog"])
    completed = new(migrated, "restrict")
    assert completed.code == 0, completed.output
    [_, file] = migrated.files("shop")
    found = file.read_text()
    assert "manager.online()" in found
    assert "with manager.done_in_sql():" in found
    assert "manager.alter_column(" in found
    for part in (
        "ADD CONSTRAINT item_author_fkey_new",
        "ON DELETE RESTRICT",
        "NOT VALID",
        "VALIDATE CONSTRAINT item_author_fkey_new",
        "RENAME CONSTRAINT item_author_fkey_new TO item_author_fkey",
    ):
        assert part in found
    forwards(migrated)
    is_complete(migrated)
    assert migrated.piccolo("backwards", "shop", "1", "--auto_agree").code == 0


def test_says_which_classes_are_in_no_app(migrated: SeveralApps) -> None:
    """One that is imported, and one that nothing imports. Not: a base class, and what is made of
    it.
    """
    more = "\nclass Base(Table):\n    pass\n\nclass Kept(Base):\n    pass\n"
    migrated.app("blog", BLOG + more)
    app = migrated.folder / "blog/piccolo_app.py"
    named = app.read_text().replace(
        'table_classes=table_finder(["blog.tables"], exclude_imported=True)',
        "table_classes=[__import__('blog.tables', fromlist=['Author']).Author]",
    )
    app.write_text(named)
    (migrated.folder / "blog/drafts.py").write_text(
        "from piccolo.table import Table as T\n\nclass Draft(T):\n    pass\n"
    )
    completed = new(migrated, "nothing")
    assert completed.stdout.splitlines() == [
        "Nothing to do. The migrations build what the table classes say.",
        *(
            f"Not seen: blog.{name} is in no app's table_classes, so no migration builds its table."
            f' If one should, name its module in the app: table_finder(["blog.{module}"])'
            for name, module in (("drafts.Draft", "drafts"), ("tables.Kept", "tables"))
        ),
    ]


PARTS = [
    "CREATE TABLE parts (id int, day date, note text) PARTITION BY RANGE (id)",
    "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (90) PARTITION BY RANGE (id)",
    "CREATE TABLE higher PARTITION OF high FOR VALUES FROM (10) TO (50)",
]


def test_an_index_of_a_partitioned_table_is_built_online(several: SeveralApps) -> None:
    several.register("blog")
    several.app("blog", database_extras=PARTS)
    several.write("blog", "2026-01-01T00:00:00:000000", *PARTS)
    forwards(several)
    assert new(several, "nothing").stdout.startswith("Nothing to do")
    index = "CREATE INDEX parts_note ON parts (note, day DESC) WHERE id > 3"
    several.app("blog", database_extras=[*PARTS, index])
    completed = new(several, "by note")
    assert completed.code == 0, completed.output
    found = text(several, "blog")
    assert "manager.online()" in found
    for leaf in ("low", "higher"):
        assert f"CREATE INDEX CONCURRENTLY {leaf}_note_day_idx" in found
    assert found.index("higher_note_day_idx") < found.index("CREATE INDEX parts_note")
    forwards(several)
    is_complete(several)
    first = several.id(several.files("blog")[1])
    assert several.piccolo("backwards", "blog", first, "--auto_agree").code == 0
