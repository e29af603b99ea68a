"""What the operator has to know about the table of the tenants."""

import re
from dataclasses import dataclass

from piccolo.columns import Column
from piccolo.table import Table

from partman.grammar.names import quoted


@dataclass(frozen=True)
class TenantsTable:
    """The table of the tenants, declared by the app."""

    table: type[Table]
    name: Column
    """The unique column by which a person names a tenant, such as a subdomain."""
    active: Column | None = None
    """The boolean column that says whether a tenant is active; None: all are."""

    @property
    def noun(self) -> str:
        """The word for a tenant in a message, after its table class: customer account."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.table.__name__).lower()

    @property
    def sql_name(self) -> str:
        """The quoted name of the table."""
        meta = self.table._meta
        name = quoted(meta.tablename)
        return f"{quoted(meta.schema)}.{name}" if meta.schema else name

    @property
    def name_sql(self) -> str:
        """The quoted name of the column of names."""
        return quoted(self.name._meta.db_column_name)

    @property
    def active_sql(self) -> str:
        """The column of the activation, or the constant, as SQL."""
        if self.active is None:
            return "true"
        return f"coalesce({quoted(self.active._meta.db_column_name)}, false)"
