"""The indexes and constraints of expanded columns: built beside the others, under other names."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from partman.catalog.ddl import objects, online
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.constraints import included, timing, with_options
from partman.catalog.ddl.online import SqlStep
from partman.catalog.ddl.text import SqlStyle, laid_out
from partman.catalog.model import Catalog, Constraint, Index, Object, Reference
from partman.catalog.read import read_catalog
from partman.catalog.renames import rename
from partman.errors import NotExpressibleError
from partman.grammar.names import unquoted, without_schema
from partman.migration.autogenerate.expand.column import Expanded, shortened

if TYPE_CHECKING:
    from asyncpg import Connection, Record

Dependent = Constraint | Index


@dataclass(frozen=True)
class Pair:
    """An index or a constraint under its name, and under the name that it is built with."""

    final: Dependent
    temporary: Dependent

    @property
    def is_primary_key(self) -> bool:
        """Whether it is a primary key, of which a table has only one."""
        return isinstance(self.final, Constraint) and self.final.type == "PRIMARY KEY"

    @property
    def tables(self) -> set[str]:
        """The tables that its change locks."""
        found = {self.final.parent.name}
        if isinstance(self.final, Constraint) and self.final.referenced_table:
            found.add(self.final.referenced_table)
        return found


async def read_pairs(
    connection: "Connection[Record]",
    catalog: Catalog,
    references: Collection[Reference],
    columns: Sequence[tuple[Expanded, str, str]],
    suffix: str,
    taken: Collection[str],
) -> list[Pair]:
    """Return the dependents among the references, with the columns under other names.

    PostgreSQL itself writes the definitions: the names are changed on a scratch database, which
    has the catalog, and taken back. ``columns``: each with its name there and its other name.
    """
    finals = [
        obj
        for obj in catalog.objects
        if isinstance(obj, Constraint | Index) and obj.reference in references
    ]
    names: dict[Reference, Dependent] = {}
    used = set(taken)
    for obj in finals:
        bare = obj.name if isinstance(obj, Constraint) else without_schema(obj.name)
        name = shortened(unquoted(bare), suffix, used)
        used.add(name)
        schema = "" if isinstance(obj, Constraint) else obj.name.removesuffix(bare)
        names[obj.reference] = replace(obj, name=schema + name)
    transaction = connection.transaction()
    await transaction.start()
    try:
        for column, name, other in columns:
            if name != other:
                await connection.execute(
                    f"ALTER TABLE {column.table} RENAME COLUMN {name} TO {other}"
                )
        for obj in finals:
            await connection.execute(rename(obj, names[obj.reference]))
        changed = await read_catalog(connection)
    finally:
        await transaction.rollback()
    found = []
    for obj in finals:
        temporary = changed.by_reference[names[obj.reference].reference]
        assert isinstance(temporary, Constraint | Index)
        found.append(Pair(obj, temporary))
    return sorted(found, key=lambda pair: _rank(pair.final))


def names_of(*catalogs: Catalog) -> set[str]:
    """Return the names of all indexes and constraints, without schema."""
    return {
        obj.name if isinstance(obj, Constraint) else without_schema(obj.name)
        for catalog in catalogs
        for obj in catalog.objects
        if isinstance(obj, Constraint | Index)
    }


def build(pair: Pair, catalog: Catalog, style: SqlStyle) -> list[SqlStep]:
    """Return the online steps that build it under the other name. Raises NotExpressibleError."""
    obj = pair.temporary
    if pair.is_primary_key:
        return [SqlStep((_unique_index(obj, style),), (), obj.parent.name)]
    created = objects.create(obj, catalog, style)
    steps = online.steps(
        [Change(obj.reference, created or (), (), obj)], catalog, {obj.parent}, style
    )
    if created is None or not steps.is_online:
        raise NotExpressibleError(
            f"{pair.final.reference} cannot be built while other sessions work, so the columns "
            "that it has cannot be changed with old and new code working meanwhile. Nothing was "
            "written. To change them in place, while other sessions wait: partman new --in-place"
        )
    return [SqlStep(each.forwards, (), each.table) for each in steps.steps if each.forwards]


def renamed(pair: Pair, style: SqlStyle) -> tuple[str, ...]:
    """Return the statements that give a dependent that was built its final name."""
    final, temporary = pair.final, pair.temporary
    if not pair.is_primary_key:
        return (style(rename(temporary, final)),)
    assert isinstance(final, Constraint)
    added = f"ALTER TABLE {style(final.parent.name)} ADD CONSTRAINT {final.name} PRIMARY KEY"
    comment = (objects.comment(final, style),) if final.comment is not None else ()
    return (laid_out(added, f"USING INDEX {temporary.name}", *timing(final)), *comment)


def put_aside(pair: Pair, style: SqlStyle) -> str:
    """Return the statement that frees the name of a dependent that is kept."""
    return style(rename(pair.final, pair.temporary))


def dropped(pairs: Iterable[Pair], style: SqlStyle) -> list[str]:
    """Return the statements that drop dependents, foreign keys first."""
    ordered = sorted(pairs, key=lambda pair: _rank(pair.final), reverse=True)
    return [each for pair in ordered for each in objects.drop(pair.final, style) or ()]


def _rank(obj: Object) -> int:
    """Return the place in which it is made: a foreign key needs a key, and may need an index."""
    if isinstance(obj, Index):
        return 0
    assert isinstance(obj, Constraint)
    return {"FOREIGN KEY": 3, "CHECK": 2}.get(obj.type, 1)


def _unique_index(obj: Dependent, style: SqlStyle) -> str:
    assert isinstance(obj, Constraint)
    on = [f"ON {style(obj.parent.name)} ({', '.join(obj.columns)})", *included(obj)]
    begin = f"CREATE UNIQUE INDEX CONCURRENTLY {obj.name}"
    return laid_out(begin, " ".join(on), *with_options(obj))
