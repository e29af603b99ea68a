"""Generate docs/schema.md and docs/schema.svg from the migrations."""

import asyncio
import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from partman.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Function,
    Grant,
    Index,
    Object,
    Policy,
    Table,
    Trigger,
)
from partman.catalog.render import privileges
from partman.cli.diagram import read_entities
from partman.diagram.entities import Entity, short, short_type
from partman.diagram.mermaid import mermaid
from partman.diagram.svg import svg
from partman.migration.verification.rebuild import catalog_of_migrations
from partman.settings import Settings
from partman.tables import CONSOLE_TABLES, TABLES, TENANCY
from tests.docs.markdown import table
from tests.support import ROOT, server_url

P = TypeVar("P", bound=Object)

PICTURE = ROOT / "docs" / "schema.svg"


@functools.cache
def catalog() -> Catalog:
    """Return the catalog of the migrations, from the tests' server."""
    return asyncio.run(catalog_of_migrations(_settings()))


def _settings() -> Settings:
    return Settings.load({"DATABASE_URL": server_url(), "PARTMAN_ENV": "test"})


@functools.cache
def _entities() -> tuple[Entity, ...]:
    return asyncio.run(read_entities(_settings()))


def picture() -> str:
    return svg(_entities())


def diagram() -> str:
    """Return the diagram as text that can be changed and copied."""
    return f"```mermaid\n{mermaid(_entities())}```"


def reference() -> str:
    """Return every table with all its parts."""
    return "\n\n".join(part for table in catalog().of(Table) for part in _of_a_table(table) if part)


def functions() -> str:
    """Return the complete functions."""
    found = [f"```sql\n{each.definition.strip()}\n```" for each in catalog().of(Function)]
    return "\n\n".join(found)


def _of_a_table(of: Table) -> Iterator[str]:
    yield f"### {short(of.name)}"
    if docs := _class_docs().get(short(of.name)):
        yield docs
    yield _rows(
        ("column", "type", "null", "default"),
        (
            (
                f"`{each.name}`",
                short_type(each.type),
                "" if "NOT" in each.null else "yes",
                _code(each),
            )
            for each in sorted(_parts(Column, of), key=lambda each: each.position)
        ),
    )
    yield _rows(
        ("key or rule", "definition"),
        ((f"`{each.name}`", f"`{_plain(each.definition)}`") for each in _parts(Constraint, of)),
    )
    yield _rows(
        ("index", "definition"),
        (
            (f"`{short(each.name)}`", f"`{_plain(each.definition.partition(' USING ')[2])}`")
            for each in _parts(Index, of)
        ),
    )
    yield _rows(("policy", "for", "to", "condition"), map(_policy, _parts(Policy, of)))
    yield _rows(
        ("trigger", "definition"),
        ((f"`{each.name}`", f"`{_plain(each.definition)}`") for each in _parts(Trigger, of)),
    )
    for grant in _parts(Grant, of):
        if grant.name in (TENANCY.roles.app, TENANCY.roles.console):
            yield f"`{grant.name}` may: {privileges(grant.privileges)}."


def _parts(sort: type[P], table: Table) -> list[P]:
    return [each for each in catalog().of(sort) if each.parent == table.reference]


def _policy(policy: Policy) -> tuple[str, ...]:
    kind = "" if policy.permissive else ", restrictive"
    conditions = [f"`{_plain(policy.using)}`"] if policy.using else []
    if policy.check and policy.check != policy.using:
        conditions.append(f"new rows: `{_plain(policy.check)}`")
    roles = ", ".join(f"`{role}`" for role in policy.roles)
    return (f"`{policy.name}`{kind}", policy.command, roles, "; ".join(conditions))


def _code(column: Column) -> str:
    said = column.default or column.generated or (column.identity and f"identity {column.identity}")
    return f"`{_plain(said)}`" if said else ""


def _plain(sql: str) -> str:
    """Return the SQL in one line for a table cell, without the usual defaults."""
    text = re.sub(r"\bpublic\.", "", " ".join(sql.split()))
    return re.sub(r"::(character varying|text|jsonb)\b", "", text).replace("|", "\\|")


def _class_docs() -> dict[str, str]:
    tables = (*TABLES, *CONSOLE_TABLES)
    return {each._meta.tablename: inspect.cleandoc(each.__doc__ or "") for each in tables}


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    found = list(rows)
    return table(head, found) if found else ""
