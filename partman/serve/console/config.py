"""What an app says of its console. It needs no package of the service, so an app may import it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from piccolo.columns import Column, Text, Varchar
from piccolo.table import Table

from partman.serve.people.account_base import AccountBase
from partman.serve.people.tenants import Find


@dataclass(frozen=True)
class ConsoleConfig:
    """The console of a project, which one of its apps offers.

    The app names it in its ``piccolo_app.py``::

        PARTMAN_CONFIG = PartmanConfig(console="shop.console:CONSOLE")

    Which tables the console shows is no part of it: those that are registered as tenant tables, and
    the table of the tenants itself.
    """

    accounts: type[AccountBase]
    """Who may sign in. It has a foreign key to the tenants, which is NULL for an operator."""
    sessions: type[Table]
    """Who has signed in: the columns of piccolo_api's ``SessionsBase``, and a foreign key to the
    tenants, which holds what an operator has chosen. The token is kept as a keyed hash."""
    active: Column | None = None
    """A boolean column of the tenants: rows of a tenant that is not active are not shown. None: all
    tenants are active."""
    find_by: Find | None = None
    """Finds a tenant by what an operator types. None: by its ID."""
    found_by: str = "ID"
    """What that is, in the words of the page: subdomain."""
    named_by: Mapping[type[Table], Sequence[Column]] = field(default_factory=dict)
    """The columns that name a row for a person; the first one links to it in a list. Of a table
    that is not there, it is the first text column; see name_columns()."""
    filled_in: Mapping[type[Table], Mapping[Column, Any]] = field(default_factory=dict)
    """Values of columns that a form does not have, as of one with a secret, for a new row."""

    def name_columns(self, table: type[Table]) -> tuple[Column, ...]:
        """Return what names a row: what is declared, or the first text, or the primary key."""
        if table in self.named_by:
            return tuple(self.named_by[table])
        texts = (column for column in table._meta.columns if _is_text(column))
        return (next(texts, table._meta.primary_key),)


def _is_text(column: Column) -> bool:
    """Whether it may name a row: neither a secret, nor a key, nor one of a few values."""
    meta = column._meta
    is_text = isinstance(column, Varchar | Text)
    return is_text and not meta.secret and not meta.primary_key and meta.choices is None
