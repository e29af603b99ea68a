"""Find the migration that somebody has named."""

import difflib
from collections.abc import Collection

from partman.errors import UnknownMigrationError
from partman.migration.ledger.identity import MigrationKey
from partman.wording import counted

_NAMED = 3
"""How many migrations an error names."""


def find(
    known: Collection[MigrationKey], text: str, outcome: str, *, app: str | None = None
) -> MigrationKey:
    """Return the migration with an ID, or the only one whose ID begins like that.

    ``app`` is only needed if several have the ID. ``outcome`` is the sentence of an error that says
    what was not done. Raises UnknownMigrationError if there is no such migration, or several.
    """
    begun = [each for each in known if each.id.startswith(text) and app in (None, each.app)]
    found = [each for each in begun if each.id == text] or begun
    if len(found) == 1:
        return found[0]
    if not found:
        of_app = f" of {app}" if app else ""
        raise UnknownMigrationError(
            f"There is no migration {text}{of_app}. {outcome} {_similar(known, text)}List them "
            "with: partman status"
        )
    if len({each.id for each in found}) == 1:
        raise UnknownMigrationError(
            f"Several apps have a migration {found[0].id}. {outcome} Name the app: "
            f"{', '.join(each.app for each in found)}"
        )
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise UnknownMigrationError(
        f"{counted(len(found), 'migration')} begin with {text}: "
        f"{', '.join(each.id for each in found[:_NAMED])}{more}. {outcome} Write more of the ID."
    )


def _similar(known: Collection[MigrationKey], text: str) -> str:
    similar = difflib.get_close_matches(text, [each.id for each in known], n=1)
    return f"Did you mean {similar[0]}? " if similar else ""
