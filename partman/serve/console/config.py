"""The declaration of an app's console. Needs no package of the service, so apps can import it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from piccolo.columns import Column, Text, Varchar
from piccolo.table import Table

from partman.serve.people.account_base import AccountBase
from partman.serve.people.tenants import Find, ListTenants


@dataclass(frozen=True)
class ConsoleConfig:
    """The console of a project, which one of its apps offers.

    The app names it in its ``piccolo_app.py``::

        PARTMAN_CONFIG = PartmanConfig(console="shop.console:CONSOLE")

    The console shows all registered tenant tables, and the table of the tenants itself.
    """

    accounts: type[AccountBase]
    """The accounts that may sign in. The table has a foreign key to the tenants, which is NULL for
    an operator.
    """
    sessions: type[Table]
    """The sessions: the columns of piccolo_api's ``SessionsBase``, and a foreign key to the tenants
    for the tenant that an operator has chosen. The token is stored as a keyed hash.
    """
    active: Column | None = None
    """A boolean column of the tenants: rows of an inactive tenant are not shown. None: all tenants
    are active.
    """
    find_by: Find | None = None
    """Finds a tenant by the text that an operator types. None: by its ID."""
    found_by: str = "ID"
    """The page's word for this text, such as subdomain."""
    list_by: ListTenants | None = None
    """Lists the active tenants for an operator. Without a tenant the console's role reads none, so
    it needs a function of the database that is made for it. None: the page has those that have an
    account, 100 at most.
    """
    named_by: Mapping[type[Table], Sequence[Column]] = field(default_factory=dict)
    """The columns that name a row for a person: the title of its form, and its link in a list. For
    other tables it is the first text column; see name_columns().
    """
    filled_in: Mapping[type[Table], Mapping[Column, Any]] = field(default_factory=dict)
    """Values for a new row in columns that the form omits, such as secrets."""
    amounts: Mapping[Column, Column | str] = field(default_factory=dict)
    """The currency of an amount: the column of the same table that has it, or a code as EUR."""
    details: Mapping[Column, Sequence[str]] = field(default_factory=dict)
    """The keys of a JSON column that its form always offers, such as name and email of a contact.
    Keys that a row has are offered anyway.
    """
    emails: Sequence[Column] = ()
    """Text columns with an e-mail address, besides Piccolo's ``Email``."""
    read_only: Sequence[Column] = ()
    """Columns that the console shows and nobody changes there. ``updated_at``, keys, and columns
    that the database lets a tenant not change, are read-only anyway.
    """

    rules: Mapping[str, str] = field(default_factory=dict)
    """What a check constraint demands, by its name, as a sentence to the person who typed something
    else. Other constraints are told as PostgreSQL writes them.
    """

    def name_columns(self, table: type[Table]) -> tuple[Column, ...]:
        """Return the declared columns that name a row, or the first text, or the key."""
        if table in self.named_by:
            return tuple(self.named_by[table])
        texts = (column for column in table._meta.columns if _is_text(column))
        return (next(texts, table._meta.primary_key),)


def _is_text(column: Column) -> bool:
    """Whether the column may name a row: a text that is no secret, no key and has no choices."""
    meta = column._meta
    is_text = isinstance(column, Varchar | Text)
    return is_text and not meta.secret and not meta.primary_key and meta.choices is None
