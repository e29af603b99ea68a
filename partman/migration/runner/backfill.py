"""What a backfill is: an UPDATE of many rows, to be run in portions by primary key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.errors import MigrationFailedError
from partman.grammar import NotParsedError, parse
from partman.grammar.names import literal, quoted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_KEY = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_catalog.pg_index i
JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, position) ON position <= i.indnkeyatts
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = to_regclass($1) AND i.indisprimary
ORDER BY position
"""

_EXISTS = "SELECT to_regclass($1) IS NOT NULL"

_NOTHING = "Nothing of it was run."


@dataclass(frozen=True)
class Pace:
    """How fast a backfill goes. Times are in seconds."""

    portion: float = 0.25
    """How long a portion, one transaction, is to take; its number of rows follows from it."""
    rows: int = 500
    """How many rows the first portion has."""
    pause: float = 0.0
    """How long to wait after each portion."""
    replication_lag: float = 10.0
    """Wait while a standby is further behind."""
    transaction_age: float = 3600.0
    """Wait while a transaction of the database is older: until it ends, no old row is removed."""


@dataclass(frozen=True)
class Backfill:
    """One direction of a backfill."""

    table: str
    """As SQL names it."""
    set: str
    """The SET clause."""
    where: str | None
    pace: Pace

    @property
    def update(self) -> str:
        """The UPDATE that it is, without portions."""
        condition = f"\nWHERE {self.where}" if self.where else ""
        return f"UPDATE {self.table}\nSET {self.set}{condition}"

    def __str__(self) -> str:
        return f"-- In portions by primary key: {self.table}\n{self.update}"

    def portion(self, conditions: Iterable[str]) -> str:
        """Return the UPDATE of one portion: of the rows under conditions."""
        own = [f"({self.where}\n)"] if self.where else []  # it may end with a comment
        return f"UPDATE {self.table}\nSET {self.set}\n{_where((*conditions, *own))}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that it sets. Raises MigrationFailedError."""
        try:
            parsed = parse(self.update)
        except NotParsedError as error:
            raise self.refused("PostgreSQL's grammar rejects it") from error
        if [each.kind for each in parsed] != ["UpdateStmt"]:
            raise self.refused("it is not one UPDATE")
        targets = [each["ResTarget"] for each in parsed[0].node["targetList"]]
        return tuple(str(each["name"]) for each in targets)

    def refused(self, reason: str) -> MigrationFailedError:
        """Return the error that says why it cannot be run."""
        return MigrationFailedError(
            f"The backfill of {self.table} cannot be run: {reason}. {_NOTHING} The statement: "
            f"{self.update}"
        )


@dataclass(frozen=True)
class KeyColumn:
    """A column of the primary key."""

    name: str
    """As the catalog has it."""
    type: str
    """As SQL."""


@dataclass(frozen=True)
class PrimaryKey:
    """The primary key by which a table is divided."""

    table: str
    columns: tuple[KeyColumn, ...]

    @classmethod
    async def read(cls, connection: "Connection[Record]", backfill: Backfill) -> "PrimaryKey":
        """Read the key. Raises MigrationFailedError if the backfill cannot be divided by it."""
        set_columns = backfill.columns
        rows = await connection.fetch(_KEY, backfill.table)
        if not rows:
            exists = await connection.fetchval(_EXISTS, backfill.table)
            raise backfill.refused(
                "the table has no primary key" if exists else "there is no such table"
            )
        key = cls(backfill.table, tuple(KeyColumn(row["name"], row["type"]) for row in rows))
        if changed := [each.name for each in key.columns if each.name in set_columns]:
            raise backfill.refused(f"it changes the primary key, {', '.join(changed)}")
        return key

    @property
    def sql(self) -> str:
        """The columns as a list."""
        return ", ".join(quoted(each.name) for each in self.columns)

    def value(self, position: Sequence[str]) -> str:
        """Return a position as SQL."""
        pairs = zip(position, self.columns, strict=True)
        return f"({', '.join(f'{literal(text)}::{each.type}' for text, each in pairs)})"

    def between(self, after: Sequence[str] | None, to: Sequence[str] | None) -> list[str]:
        """Return the conditions for the rows after a position, up to another one."""
        return [
            f"({self.sql}) {operator} {self.value(position)}"
            for operator, position in ((">", after), ("<=", to))
            if position is not None
        ]

    def end(self, rows: int, conditions: Iterable[str]) -> str:
        """Return the query for the position of the last one of so many rows under conditions.

        It returns no row if there are fewer.
        """
        names = [f"of.{quoted(each.name)}" for each in self.columns]
        texts = ", ".join(f"{name}::text" for name in names)
        # With "of.", or ORDER BY would mean the text.
        return (
            f"SELECT {texts} FROM {self.table} AS of{_where(conditions)}"
            f" ORDER BY {', '.join(names)} OFFSET {rows - 1} LIMIT 1"
        )


def _where(conditions: Iterable[str]) -> str:
    text = " AND ".join(conditions)
    return f" WHERE {text}" if text else ""
