"""A blog and a shop, two apps of one project, and the migrations that ``partman new`` writes."""

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
    """Write the missing migrations and apply them; then nothing is left to do."""
    completed = new(several, name, *arguments)
    assert completed.code == 0, completed.output
    assert "Written" in completed.stdout
    forwards(several)


def forwards(several: SeveralApps) -> None:
    completed = several.piccolo("forwards", "all")
    assert completed.code == 0, completed.output


def is_complete(several: SeveralApps) -> None:
    """Check that nothing is left to do, and that the migrations build the database's schema."""
    again = new(several, "again")
    assert again.stdout.startswith("Nothing to do"), again.output
    drift = several.partman("drift")
    assert "no difference" in drift.stdout, drift.output


def text(several: SeveralApps, app: str) -> str:
    """Return the text of the newest migration of an app."""
    return several.files(app)[-1].read_text()
