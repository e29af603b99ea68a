"""Replace what table classes mark as personal, before it leaves its database.

A table class says it with an attribute ``personal``: the kind of each such column::

    class Contact(TenantTable, Table):
        name = Varchar()
        email = Varchar()
        personal = {"name": "name", "email": "email"}

The new value is computed by the server of the source from a keyed hash of the old one: the same
value is replaced by the same one everywhere, and two different ones stay different. NULL stays.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from partman.apps import table_classes
from partman.errors import MaskError
from partman.grammar.names import literal
from partman.rehearsal.source import Source, SourceColumn, SourceTable

if TYPE_CHECKING:
    from asyncpg import Connection, Record

VARIABLE = "PARTMAN_MASK_KEY"
"""The key of the hash; without it, each rehearsal has a new one."""

_SETTING = "partman.mask_key"
_FIXED = "= "
"""A kind that begins so is the value itself."""

# HMAC in short: the key is of a fixed length, hashed before the value and around it.
_HASH = (
    "encode(sha256(convert_to(current_setting('partman.mask_key') || encode(sha256(convert_to("
    "current_setting('partman.mask_key') || {}, 'UTF8')), 'hex'), 'UTF8')), 'hex')"
)

_KINDS: Mapping[str, str] = {
    "name": "'Name ' || left({hash}, 16)",
    "text": "'text ' || {hash}",
    "email": "left({hash}, 24) || '@example.invalid'",
    "phone": "'+' || translate(left({hash}, 14), 'abcdef', '012345')",
    "url": "'https://' || left({hash}, 24) || '.example.invalid/'",
}
"""SQL of the new value by the hash of the old one."""
_JSON = "json"


@dataclass(frozen=True)
class Masks:
    """What the columns of some tables are replaced by."""

    key: str
    expressions: Mapping[int, Mapping[str, str]]
    """SQL by the table's OID and the column's name."""
    columns: tuple[str, ...]
    """All of them, as ``table.column``."""

    async def prepare(self, connection: "Connection[Record]") -> None:
        """Tell a session the key: not in the text of a statement, which a log may have."""
        await connection.fetchval("SELECT set_config($1, $2, true)", _SETTING, self.key)

    def expression(self, table: SourceTable, column: SourceColumn) -> str:
        """Return the SQL with which a column is copied."""
        return self.expressions.get(table.oid, {}).get(column.name, column.sql)

    def of(self, table: str) -> list[str]:
        """Return the columns of a table that are replaced."""
        return [each for each in self.columns if each.rpartition(".")[0] == table]


def masks_for(source: Source) -> Masks:
    """Return the masks for what the table classes mark. Raises MaskError."""
    expressions: dict[int, dict[str, str]] = {}
    names = []
    declared = _declared()
    if not any(declared.values()):
        raise MaskError(
            "--mask replaces what the table classes mark as personal, and no class marks anything. "
            "Nothing was done. Mark it in the classes: personal = {'email': 'email'}"
        )
    for table in source.tables:
        for column, kind in declared.get(table.bare, {}).items():
            found = next((each for each in table.columns if each.name == column), None)
            if found is None:  # of a migration that is pending, perhaps
                continue
            expressions.setdefault(table.oid, {})[column] = _expression(table, found, kind)
            names.append(f"{table.name}.{column}")
    key = os.environ.get(VARIABLE) or secrets.token_hex(32)
    return Masks(key, expressions, tuple(names))


def _declared() -> dict[str, dict[str, str]]:
    """Return the kinds of the personal columns, by table and column as in the database."""
    found: dict[str, dict[str, str]] = {}
    for table in table_classes():
        marked: Any = getattr(table, "personal", None)
        if not isinstance(marked, Mapping):
            continue
        columns = {column._meta.name: column for column in table._meta.columns}
        for name, kind in marked.items():
            if name not in columns:
                raise MaskError(
                    f"{table.__name__}.personal marks {name}, which is no column of it. Nothing "
                    "was done. Correct the name."
                )
            if kind not in _KINDS and kind != _JSON and not str(kind).startswith(_FIXED):
                known = ", ".join([*_KINDS, _JSON])
                raise MaskError(
                    f"{table.__name__}.personal says {kind!r} of {name}. Nothing was done. It must "
                    f"be one of {known}, or a value that begins with {_FIXED!r}."
                )
            column = columns[name]._meta.db_column_name
            found.setdefault(table._meta.tablename, {})[column] = kind
    return found


def _expression(table: SourceTable, column: SourceColumn, kind: str) -> str:
    is_json = column.type in {"json", "jsonb"}
    if is_json != (kind == _JSON) or column.type not in {
        *("json", "jsonb", "text"),
        *("character varying", "character"),
    }:
        raise MaskError(
            f"{table.name}.{column.name} has the type {column.type}, which {kind!r} does not fit. "
            "Nothing was changed. Correct the `personal` of its table class."
        )
    if is_json:
        return _json(column)
    if kind.startswith(_FIXED):
        new = literal(kind.removeprefix(_FIXED))
    else:
        new = _KINDS[kind].format(hash=_HASH.format(f"{column.sql}::text"))
    if column.length is not None:
        new = f"left({new}, {column.length})"
    return f"CASE WHEN {column.sql} IS NOT NULL THEN {new} END"


def _json(column: SourceColumn) -> str:
    """Return SQL that keeps the keys of an object and replaces their values; a list gets empty."""
    value = f"{column.sql}::jsonb"
    hashed = _HASH.format("each.value::text")
    return (
        f"(CASE jsonb_typeof({value})"
        f" WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(each.key,"
        f" to_jsonb(left({hashed}, 16))), '{{}}') FROM jsonb_each({value}) AS each)"
        f" WHEN 'array' THEN '[]'::jsonb"
        f" WHEN 'null' THEN 'null'::jsonb"
        f" ELSE to_jsonb(left({_HASH.format(value + '::text')}, 16)) END)::{column.type}"
    )
