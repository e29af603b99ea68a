"""Delete rows: first what goes with them is told, then it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from piccolo.columns import OnDelete
from starlette.responses import RedirectResponse, Response

from partman.serve.console.list_view import may
from partman.serve.console.rows import Condition, Count, count, keyed, several
from partman.serve.console.scope import ERRORS_OF_THE_REQUEST, RefusedError, Visit, explained
from partman.serve.console.tables import Field, ShownTable, ShownTables

_DEEPEST = 5
"""Tables that one deletion may reach through the other."""
_MOST = 100
"""Rows that are deleted at once."""


@dataclass(frozen=True)
class Consequence:
    """What becomes of rows that refer to deleted ones."""

    shown: ShownTable
    field: Field
    count: Count
    on_delete: OnDelete

    @property
    def forbids(self) -> bool:
        """Whether nothing can be deleted because of them."""
        return self.on_delete in {OnDelete.restrict, OnDelete.no_action}

    @property
    def deletes(self) -> bool:
        """Whether they are deleted, too."""
        return self.on_delete is OnDelete.cascade


async def delete(visit: Visit) -> Response:
    """Ask whether rows are to be deleted, or delete them."""
    shown = visit.table
    assert shown is not None
    is_sent = visit.request.method == "POST"
    given = visit.form if is_sent else visit.request.query_params
    keys = [key for key in dict.fromkeys(given.getlist("row")) if isinstance(key, str) and key]
    if not keys:
        return RedirectResponse(f"{shown.path}?done=none", 303)
    where = keyed(shown, keys)
    if where is None or len(keys) > _MOST:
        return visit.missing()
    refused = await _refusal(visit, shown, where, len(keys)) if is_sent else None
    if is_sent and refused is None:
        visit.done(f"deleted {len(keys)} of {shown.slug}")
        return RedirectResponse(f"{shown.path}?done=deleted", 303)
    return await _confirmation(visit, shown, where, len(keys), refused)


async def _confirmation(
    visit: Visit, shown: ShownTable, where: Condition, number: int, refused: RefusedError | None
) -> Response:
    async with visit.block():
        rights = await may(shown)
        rows = await several(shown, where)
        consequences = await _consequences(visit.tables, shown, where, 1)
    if len(rows) < number:
        return visit.missing()
    return visit.page(
        "console_delete.html",
        status_code=refused.status_code if refused else 200,
        rows=rows,
        consequences=consequences,
        may=rights,
        notice=refused.notice if refused else "",
    )


async def _refusal(
    visit: Visit, shown: ShownTable, where: Condition, number: int
) -> RefusedError | None:
    """Delete the rows; return why they are still there, or None."""
    try:
        async with visit.block():
            await _delete(shown, where, number)
    except asyncpg.ForeignKeyViolationError:
        return RefusedError(
            "Other rows refer to it, and would be left without it. Nothing was deleted.",
            status_code=409,
        )
    except RefusedError as error:
        return error
    except ERRORS_OF_THE_REQUEST as error:
        return await explained(error, visit, shown)
    return None


async def _delete(shown: ShownTable, where: Condition, number: int) -> None:
    if not (await may(shown)).delete:
        raise RefusedError(f"{shown.plural} cannot be deleted here.", status_code=403)
    deleted = await shown.table.delete().where(where).returning(shown.key.column)
    if len(deleted) < number:
        raise RefusedError(
            "Some of them are not there any more. Nothing was deleted.", status_code=404
        )


async def _consequences(
    tables: ShownTables, shown: ShownTable, where: Condition, depth: int
) -> Sequence[Consequence]:
    """Return what refers to rows, and to what is deleted with them."""
    found = []
    for other, field in tables.references_to(shown):
        these = field.column.is_in(shown.table.select(shown.key.column).where(where))
        number = await count(other, these)
        if not number.number:
            continue
        on_delete = field.column._foreign_key_meta.on_delete  # type: ignore[attr-defined]  # noqa: SLF001
        found.append(Consequence(other, field, number, on_delete))
        if on_delete is OnDelete.cascade and depth < _DEEPEST:
            found += await _consequences(tables, other, these, depth + 1)
    return found
