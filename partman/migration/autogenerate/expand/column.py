"""A column that gets another type or name, and the names that it has on the way."""

from collections.abc import Collection
from dataclasses import dataclass

from partman.catalog.model import Column
from partman.grammar.names import LONGEST_NAME, quoted, unquoted, without_schema


@dataclass(frozen=True)
class Expanded:
    """A column before and after, and the names of both meanwhile, as SQL."""

    before: Column
    after: Column
    new: str
    """The new column's name until the swap."""
    old: str
    """The old column's name from the swap to the contract."""
    has_volatile_default: bool = False
    """Whether the new column's default may differ each time that it is computed."""

    @property
    def table(self) -> str:
        """The table's name in the catalog."""
        return self.after.parent.name

    @property
    def is_renamed(self) -> bool:
        """Whether the two codes know the column by different names, and both write it."""
        return self.before.name != self.after.name

    @property
    def function(self) -> str:
        """The name of the trigger's function, with its schema."""
        table = without_schema(self.table)
        schema = self.table.removesuffix(table)
        words = f"partman_{unquoted(table)}_{unquoted(self.after.name)}"
        return schema + shortened(words, "_in_step")

    @property
    def trigger(self) -> str:
        """The trigger's name: PostgreSQL runs triggers by name, and this one has to be the last."""
        return shortened(f"zzz_partman_{unquoted(self.after.name)}", "_in_step")


def shortened(name: str, suffix: str, taken: Collection[str] = ()) -> str:
    """Return a name with a suffix, as SQL, cut to what PostgreSQL keeps of it; not a taken one."""
    more = ""
    while True:
        room = LONGEST_NAME - len((suffix + more).encode())
        found = quoted(name.encode()[:room].decode(errors="ignore") + suffix + more)
        if found not in taken:
            return found
        more += "_"
