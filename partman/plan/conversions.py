"""Find values of the live database that a migration converts to another type."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from partman.grammar.names import literal
from partman.plan.losses import count
from partman.plan.model import PlannedStatement, Unseen, WorkKind
from partman.plan.state import DatabaseState, StateColumn
from partman.wording import counted

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_TIMES = ("timestamp without time zone", "timestamp with time zone")


def conversions(
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
    statements: Sequence[PlannedStatement],
    zone: str,
) -> Iterator[str]:
    """Yield a sentence for each column whose values are rewritten as another type.

    ``zone`` is the time zone of the live database's sessions.
    """
    rewritten = {
        work.table
        for statement in statements
        for work in statement.work
        if work.kind is WorkKind.REWRITE
    }
    for column, old, new in _changed(live, before, after):
        table = live.tables[column.relation].name
        if table in rewritten:
            is_local = {_without_precision(old.type), _without_precision(new.type)} == {*_TIMES}
            local = f", as times in {zone}" if is_local else ""
            yield f"{table}.{column.name} from {old.type} to {new.type}{local}"


async def labels_in_use(
    connection: "Connection[Record]",
    live: DatabaseState,
    before: DatabaseState,
    after: DatabaseState,
) -> list[Unseen]:
    """Return the labels of enums that live rows have, and that a column's new type lacks."""
    found = []
    for column, old, new in _changed(live, before, after):
        removed = [label for label in old.labels if label not in new.labels]
        if not (removed and new.labels):
            continue
        table = live.tables[column.relation]
        labels = ", ".join(map(literal, removed))
        rows = await count(
            connection,
            f"SELECT count(*) FROM {table.qualified} WHERE {column.name}::text IN ({labels})",
        )
        if rows != 0:
            number = "an unknown number of rows" if rows is None else counted(rows, "row")
            found.append(
                Unseen(
                    f"fails, unless a USING clause converts them: {number} of {table.name} have "
                    f"{labels} in {column.name}, which its new type does not have"
                )
            )
    return found


def _changed(
    live: DatabaseState, before: DatabaseState, after: DatabaseState
) -> Iterator[tuple[StateColumn, StateColumn, StateColumn]]:
    """Yield the live columns whose type changes, with what they are before and after."""
    for key, column in live.columns.items():
        old, new = before.columns.get(key), after.columns.get(key)
        if old and new and (old.type, old.type_oid) != (new.type, new.type_oid):
            yield column, old, new


def _without_precision(type_: str) -> str:
    head, _, tail = type_.partition("(")
    return head + tail.partition(")")[2]
