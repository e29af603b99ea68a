"""The form of a row: shown, filled in, and saved."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from piccolo.columns import Column
from starlette.responses import RedirectResponse, Response

from partman.serve.console import json_text
from partman.serve.console.json_fields import (
    JsonFields,
    as_sent,
    json_fields,
    json_of_fields,
    retyped,
)
from partman.serve.console.list_view import Rights, may
from partman.serve.console.rows import count, names, one, option, options, related, searched
from partman.serve.console.scope import (
    ERRORS_OF_THE_REQUEST,
    TENANT,
    RefusedError,
    Visit,
    explained,
)
from partman.serve.console.tables import Field, Row, ShownTable
from partman.serve.console.values import TEXTS, Kind, UnfitError, from_text, is_line_wise, unbroken
from partman.serve.people.account_base import is_storable
from partman.tenant import current_tenant

VERSION = "_version"
"""The field with the time at which the shown row was last changed."""
AGAIN = "_again"
"""The button that shows the form once more: with found rows, or with a value as JSON."""
_SEARCH, _SEARCHED = "_search.", "_searched."
"""Before a field's name: what somebody searches for, and what was found last."""
_OWN = frozenset({"csrftoken", TENANT, VERSION, AGAIN})
_CHANGED = (
    "Somebody else has changed it since this form was opened. Nothing was saved, so that their "
    "work is not undone. Your values are still here; where theirs differ, they are below them. "
    "Discard your changes to begin again with theirs."
)
_GONE = "It was deleted meanwhile. Nothing was saved. Save it as a new one, or leave it."


Values = dict[Column | str, Any]
"""Values by column; Piccolo would take names, too."""


@dataclass(frozen=True)
class Input:
    """A field of the form as it is shown."""

    field: Field
    text: str
    error: str = ""
    theirs: str | None = None
    """What somebody else has saved meanwhile."""
    options: tuple[tuple[str, str], ...] = ()
    search: str | None = None
    """What was searched for; None if there are few options."""
    listed: int = 0
    """How many rows were found and are among the options."""
    total: str = ""
    """How many were found in all; empty if they are all listed."""
    json: JsonFields | None = None

    @property
    def is_long(self) -> bool:
        """Whether it needs several lines: a field of one line loses line breaks."""
        return self.field.kind in {Kind.LONG, Kind.JSON, Kind.LIST} or "\n" in self.text


async def add(visit: Visit) -> Response:
    """Show the form for a new row, or save it."""
    shown = _shown(visit)
    if visit.request.method != "POST" or _again(visit, shown):
        return await _form(visit, shown, None)
    try:
        key = await _added(visit, shown)
    except RefusedError as error:
        return await _form(visit, shown, None, error)
    except ERRORS_OF_THE_REQUEST as error:
        return await _form(visit, shown, None, await explained(error, visit, shown))
    visit.done("added a row")
    return RedirectResponse(f"{shown.path}row/{quote(key)}?done=added", 303)


async def edit(visit: Visit) -> Response:
    """Show the form of a row, or save it."""
    shown, key = _shown(visit), visit.request.path_params["row"]
    if visit.request.method != "POST" or _again(visit, shown):
        row = await _now(visit, shown, key)
        return visit.missing() if row is None else await _form(visit, shown, row)
    try:
        is_changed = await _saved(visit, shown, key)
    except RefusedError as error:
        return await _form(visit, shown, await _now(visit, shown, key), error)
    except ERRORS_OF_THE_REQUEST as error:
        told = await explained(error, visit, shown)
        return await _form(visit, shown, await _now(visit, shown, key), told)
    if is_changed:
        visit.done("changed a row")
    done = "saved" if is_changed else "same"
    return RedirectResponse(f"{shown.path}row/{quote(key)}?done={done}", 303)


async def _added(visit: Visit, shown: ShownTable) -> str:
    """Insert the row of the form; return its key as text. Raises RefusedError."""
    async with visit.block():
        if not (await may(shown)).insert:
            raise RefusedError(f"A new {shown.noun} cannot be added here.", status_code=403)
        return await _insert(shown, _new_values(visit, shown))


async def _saved(visit: Visit, shown: ShownTable, key: str) -> bool:
    """Save the form of a row; return whether it changed anything. Raises RefusedError."""
    async with visit.block():
        row = await one(shown, key, lock=True)
        if row is None:
            raise RefusedError(_GONE, status_code=404)
        changes = _changes(visit, shown, row, await may(shown))
        if changes:
            await shown.table.update(changes).where(shown.key.column == row[shown.key.name])
    return bool(changes)


def _shown(visit: Visit) -> ShownTable:
    shown = visit.table
    assert shown is not None
    return shown


async def _now(visit: Visit, shown: ShownTable, key: str) -> Row | None:
    async with visit.block():
        return await one(shown, key)


def _again(visit: Visit, shown: ShownTable) -> bool:
    """Whether the form is to be shown once more; Enter in a search is not meant to save."""
    form = visit.form
    if AGAIN in form:
        return True
    fields = (field.name for field in shown.fields if field.refers_to is not None)
    return any(form.get(_SEARCH + name, "") != form.get(_SEARCHED + name, "") for name in fields)


# What a form means


def _new_values(visit: Visit, shown: ShownTable) -> Values:
    """Return the values of a new row. Raises RefusedError."""
    values: Values = {}
    errors: dict[str, str] = {}
    fields = [field for field in shown.fields if not field.read_only]
    _refuse_others(visit, fields)
    for field in fields:
        text = _text_of(visit, field, errors)
        if text is None or (text == "" and field.made_when_saved):
            text = field.default_text() if text is None else text
            if text == "" and not field.required:
                continue
        try:
            values[field.column] = _value_of(field, text)
        except UnfitError as error:
            errors.setdefault(field.name, str(error))
    if errors:
        raise RefusedError(errors=errors)
    return values


async def _insert(shown: ShownTable, values: Values) -> str:
    """Insert a row of the current tenant; return its key as text."""
    row = shown.table({**values, **shown.filled_in}, _ignore_missing=True)  # type: ignore[dict-item]
    if shown.tenant is not None:
        row[shown.tenant] = current_tenant()
    [inserted] = await shown.table.insert(row).returning(shown.key.column)
    return shown.key_of(inserted)


def _changes(visit: Visit, shown: ShownTable, row: Row, rights: Rights) -> Values:
    """Return the values that the form changes; it sends all its fields.

    Raises RefusedError: saving an outdated form would undo another person's change.
    """
    fields = [field for field in shown.fields if _is_editable(field, row, rights)]
    _refuse_others(visit, fields)
    if visit.form.get(VERSION, "") != version_of(shown, row):
        raise RefusedError(_CHANGED, status_code=412)
    changes: Values = {}
    errors: dict[str, str] = {}
    for field in fields:
        text = _text_of(visit, field, errors)
        if text is None or is_unchanged(field, text, row[field.name]):
            continue
        try:
            changes[field.column] = _value_of(field, text)
        except UnfitError as error:
            errors.setdefault(field.name, str(error))
    if errors:
        raise RefusedError(errors=errors)
    return changes


def version_of(shown: ShownTable, row: Row) -> str:
    """Return the version of a row; empty in a table that does not keep one."""
    if shown.version is None or row[shown.version.name] is None:
        return ""
    return str(row[shown.version.name].isoformat())


def is_unchanged(field: Field, text: str, value: Any) -> bool:
    """Whether the text of a field is the value's, or JSON that means the same."""
    if field.kind is not Kind.JSON or not text or value is None:
        return text == field.text(value)
    fields = json_fields(field.name, value, field.details)
    as_fields = None if fields is None else json_of_fields(field.name, as_sent(fields))
    try:
        new = json_text.canonical(text)
    except (ValueError, RecursionError):
        return False
    return new == json_text.canonical(value) or (
        bool(as_fields) and new == json_text.canonical(str(as_fields))
    )


def _text_of(visit: Visit, field: Field, errors: dict[str, str]) -> str | None:
    """Return what was typed into a field; None if the form has not sent it."""
    if field.kind is Kind.JSON:
        try:
            text = json_of_fields(field.name, _texts(visit))
        except UnfitError as error:
            errors[field.name] = str(error)
            return None
        if text is not None:
            return text
    sent = visit.form.get(field.name)
    if sent is None:
        return None
    if not isinstance(sent, str):
        raise RefusedError("A file cannot be stored here.", status_code=400)
    return unbroken(sent)


def _texts(visit: Visit) -> list[tuple[str, str]]:
    return [(name, text) for name, text in visit.form.multi_items() if isinstance(text, str)]


def _value_of(field: Field, text: str) -> Any:
    """Return the value that a text means, and None for an empty one. Raises UnfitError."""
    if text.strip() == "" and (field.kind not in TEXTS or text == ""):
        if field.column._meta.null:
            return None
        if field.kind in TEXTS and not field.required and field.target is None:
            return ""
        is_chosen = field.choices or field.refers_to is not None
        raise UnfitError("Choose one." if is_chosen else "Enter a value.")
    if field.choices:
        for choice in field.choices:
            if choice.text == text:
                return choice.value
        raise UnfitError("Choose one of the list.")
    return from_text(field.values_of, field.kind, text)


def _is_editable(field: Field, row: Row, rights: Rights) -> bool:
    if field.read_only or field.kind is Kind.OTHER or field.name not in rights.update:
        return False
    return field.kind is not Kind.LIST or is_line_wise(row[field.name])


def _refuse_others(visit: Visit, fields: Iterable[Field]) -> None:
    """Refuse what was sent for a column that cannot be changed here."""
    known = {field.name for field in fields}
    for name in visit.form:
        column = name.partition("/")[0]
        is_search = name.startswith((_SEARCH, _SEARCHED))
        if name not in _OWN and column not in known and not is_search:
            raise RefusedError(f"{name!a} cannot be changed here.", status_code=400)


# What a form shows


async def _form(
    visit: Visit, shown: ShownTable, row: Row | None, refused: RefusedError | None = None
) -> Response:
    """Return the form of a row, or of a new one, with what was typed into it."""
    is_sent = visit.request.method == "POST"
    errors = refused.errors if refused else {}
    async with visit.block():
        rights = await may(shown)
        fields = [
            field
            for field in shown.fields
            if (not field.read_only if row is None else _is_editable(field, row, rights))
        ]
        inputs = []
        for field in fields:
            now = field.default_text() if row is None else field.text(row[field.name])
            made = _input(visit, field, now, is_sent=is_sent)
            made = await _with_options(visit, made)
            theirs = _theirs(field, row, made) if refused and refused.status_code == 412 else None
            inputs.append(replace(made, error=errors.get(field.name, ""), theirs=theirs))
        others = [] if row is None else [f for f in shown.fields if f not in fields]
        relations = [] if row is None else await related(visit.tables, shown, row)
        named = {} if row is None else await _names_of(visit, others, row)
    version = "" if row is None else version_of(shown, row)
    return visit.page(
        "console_form.html",
        status_code=refused.status_code if refused else 200,
        row=row,
        title=f"New {shown.noun}" if row is None else shown.name_of(row),
        inputs=inputs,
        others=others,
        named=named,
        related=relations,
        may=rights,
        version=visit.form.get(VERSION, "") if is_sent else version,
        notice=refused.notice if refused else "",
        wrong=[each for each in inputs if each.error],
        done=visit.request.query_params.get("done", ""),
        action=f"{shown.path}new/" if row is None else f"{shown.path}row/{shown.key_of(row)}",
    )


def _input(visit: Visit, field: Field, now: str, *, is_sent: bool) -> Input:
    """Return a field with what was typed into it, or else with what it has now."""
    unfit: dict[str, str] = {}
    sent = _text_of(visit, field, unfit) if is_sent else None
    text = now if sent is None else sent
    if field.kind is not Kind.JSON:
        return Input(field, text)
    is_text = field.name in visit.form or visit.form.get(AGAIN) == f"json:{field.name}"
    fields = None if is_text else json_fields(field.name, text, field.details)
    if fields is None:
        return Input(field, _pretty(text))
    return Input(field, text, json=retyped(fields, dict(_texts(visit))) if unfit else fields)


def _pretty(text: str) -> str:
    try:
        pretty = json_text.write(json_text.read(text), indent=2) if text else ""
    except (ValueError, RecursionError):
        return text
    return pretty if is_storable(pretty) else text


async def _with_options(visit: Visit, made: Input) -> Input:
    """Return the field with what can be chosen in it."""
    field, search = made.field, None
    found = field.options
    if not found:
        if (target := visit.tables.target_of(field)) is None:
            return made
        wanted = str(visit.form.get(_SEARCH + field.name, ""))
        found, made = await _found(made, target, wanted if is_storable(wanted) else "")
        search = wanted if made.total or wanted else None
        if made.text and made.text not in dict(found):
            found = [*await option(field, *target, made.text), *found]
    if made.text and made.text not in dict(found):
        found = [(made.text, made.text), *found]
    return replace(made, options=tuple(found), search=search)


async def _found(
    made: Input, target: tuple[ShownTable, Field], wanted: str
) -> tuple[list[tuple[str, str]], Input]:
    """Return the rows of a search, and the field with how many there are."""
    found, are_more = await options(*target, wanted)
    total = await count(target[0], searched(target[0], wanted)) if are_more else ""
    return found, replace(made, listed=len(found), total=str(total))


async def _names_of(visit: Visit, fields: Iterable[Field], row: Row) -> dict[str, str]:
    """Return the names of the rows to which read-only fields refer."""
    found = {}
    for field in fields:
        if target := visit.tables.target_of(field):
            named = await names(*target, [row[field.name]])
            found[field.name] = named.get(row[field.name], "")
    return found


def _theirs(field: Field, row: Row | None, made: Input) -> str | None:
    """Return what the row has now, if it is something else than the form."""
    if row is None or made.json is not None:
        return None
    now = field.text(row[field.name])
    if now == made.text:
        return None
    return dict(made.options).get(now) or field.shown(row) or "(empty)"
