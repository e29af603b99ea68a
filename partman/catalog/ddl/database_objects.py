"""Generate the statements for publications, and for the settings of the database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from partman.catalog.ddl.attributes import Statements
from partman.catalog.ddl.text import SqlStyle, laid_out, listed
from partman.catalog.model import OWNER, Publication, PublishedSchema, PublishedTable, Setting
from partman.database.database_form import assignment
from partman.grammar.names import literal

DatabaseObject = Publication | PublishedTable | PublishedSchema | Setting


def create(obj: DatabaseObject, style: SqlStyle) -> Statements:
    """Return the statements that create it."""
    match obj:
        case Publication():
            options = _options(obj, replace(obj, **_USUAL))
            return (
                laid_out(
                    f"CREATE PUBLICATION {obj.name}",
                    "FOR ALL TABLES" if obj.all_tables else None,
                    f"WITH ({', '.join(options)})" if options else None,
                ),
            )
        case Setting():
            return (_alter_database(obj, f"SET {assignment(obj.parameter, obj.value)}"),)
    columns = where = None
    if isinstance(obj, PublishedTable):
        columns = f"({listed(obj.columns)})" if obj.columns else None
        where = f"WHERE ({style(obj.predicate)})" if obj.predicate else None
    begin = f"ALTER PUBLICATION {obj.parent.name} ADD {_published(obj, style)}"
    return (laid_out(begin, columns, where),)


def drop(obj: DatabaseObject, style: SqlStyle) -> Statements:
    """Return the statements that drop it."""
    match obj:
        case Publication():
            return (f"DROP PUBLICATION {obj.name}",)
        case Setting():
            return (_alter_database(obj, f"RESET {assignment(obj.parameter)}"),)
    return (f"ALTER PUBLICATION {obj.parent.name} DROP {_published(obj, style)}",)


def alter(obj: DatabaseObject, before: DatabaseObject, style: SqlStyle) -> Statements:
    """Return the statements that alter it."""
    if isinstance(obj, Setting):
        return create(obj, style)
    assert isinstance(obj, Publication)
    assert isinstance(before, Publication)
    return (laid_out(f"ALTER PUBLICATION {obj.name}", f"SET ({', '.join(_options(obj, before))})"),)


def on_database(before: str, after: str) -> str:
    """Return a statement with the current database's name, which differs between environments."""
    text = literal(f"{before.replace('%', '%%')} %I {after.replace('%', '%%')}")
    tag = "$$" if "$$" not in text else "$do$"
    return f"DO {tag} BEGIN EXECUTE format(\n{text}, current_database()); END {tag}"


def _alter_database(obj: Setting, what: str) -> str:
    if obj.role is None:
        return on_database("ALTER DATABASE", what)
    role = "CURRENT_USER" if obj.role == OWNER else obj.role
    return on_database(f"ALTER ROLE {role} IN DATABASE", what)


def _published(obj: PublishedTable | PublishedSchema, style: SqlStyle) -> str:
    if isinstance(obj, PublishedSchema):
        return f"TABLES IN SCHEMA {obj.name}"
    return f"TABLE {style(obj.name)}"


_USUAL: Mapping[str, Any] = {
    "operations": "insert, update, delete, truncate",
    "via_root": False,
    "generated_columns": "none",
}


def _options(obj: Publication, before: Publication) -> list[str]:
    """Return the options in which a publication differs."""
    options = []
    if obj.operations != before.operations:
        options.append(f"publish = {literal(obj.operations)}")
    if obj.via_root != before.via_root:
        options.append(f"publish_via_partition_root = {str(obj.via_root).lower()}")
    if obj.generated_columns != before.generated_columns:
        options.append(f"publish_generated_columns = {obj.generated_columns}")
    return options
