"""A blog and a shop, two apps of one project, and the migrations that ``partman new`` writes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import shared
from tests.faults.processes import Zygote
from tests.several_apps import SeveralApps
from tests.support import Completed, Database, shared_database

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


def declare_blog_and_shop(several: SeveralApps) -> None:
    """The second refers to the first, and they are registered in reverse order."""
    several.register("shop", "blog")
    several.app("blog", BLOG)
    several.app("shop", SHOP, needs=["blog"])


@contextmanager
def written_once(
    name: str, declare: Callable[[SeveralApps], None], folder: Path
) -> Iterator[SeveralApps]:
    """A project with first migrations, which are applied; one worker writes them for all tests."""

    def make(several: SeveralApps) -> None:
        declare(several)
        written(several, "first")

    with made_once(name, make, folder) as several:
        yield several


@contextmanager
def made_once(
    name: str, make: Callable[[SeveralApps], None], folder: Path
) -> Iterator[SeveralApps]:
    """A copy of a project and of its database, as one worker of the run has made them."""
    original = shared.folder() / name

    def fill(database: Database) -> None:
        original.mkdir()
        make(SeveralApps(original, database, Zygote("library")))

    with shared_database(name, fill) as database:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        yield SeveralApps(folder, database, Zygote("library"))


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
