"""The catalog that a database has after ``partman distribute``, computed from the declared one.

Table classes and migrations declare one schema. On a single server it is built as declared; on a
cluster of Citus the objects that Citus does not support in that form are replaced by equivalents.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from partman.catalog.identity import ITS_OWNER, OWNER, Reference
from partman.catalog.model import (
    Catalog,
    Column,
    Constraint,
    Function,
    Grant,
    Object,
    Privilege,
    Table,
    Trigger,
    sort_key,
)
from partman.grammar.names import literal
from partman.isolation import Tenancy

CLEAR = "public.partman_clear_references"
"""The trigger function in place of ON DELETE SET NULL."""

CLEAR_FUNCTION = f"""\
CREATE OR REPLACE FUNCTION {CLEAR}()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "citus.enable_manual_changes_to_shards" TO 'on'
AS $function$
DECLARE
    -- The part of the referring table that is on this node, with the rows of the same tenant.
    shard text := shard_name(
        TG_ARGV[0]::regclass,
        get_shard_id_for_distribution_column(TG_ARGV[0]::regclass, to_jsonb(OLD) ->> TG_ARGV[1])
    );
BEGIN
    IF TG_ARGV[0] LIKE 'public.%' THEN
        shard := 'public.' || shard;
    END IF;
    EXECUTE format('UPDATE %s SET %s WHERE %s', shard, TG_ARGV[2], TG_ARGV[3]) USING OLD;
    RETURN OLD;
END
$function$
"""
"""As PostgreSQL prints it."""


@dataclass(frozen=True)
class Layout:
    """Which tables go where. Names are qualified."""

    tenants: str
    divided: tuple[str, ...]
    """The tenant tables: each row is on the node of its tenant."""
    everywhere: tuple[str, ...]
    """The tenants' table and other tables that tenant tables refer to: every node has all rows."""
    local: tuple[str, ...]
    """The other tables, which stay on the coordinator."""


def layout(catalog: Catalog, tenancy: Tenancy) -> Layout | None:
    """Return where each table goes; None if there is no table of the tenants."""
    tables = {table.name for table in catalog.of(Table)}
    tenants = f"public.{tenancy.table}"
    if tenants not in tables:
        return None
    divided = {
        column.parent.name
        for column in catalog.of(Column)
        if column.name == tenancy.column
        and column.null.startswith("NOT NULL")
        and column.parent.name in tables - {tenants}
    }
    everywhere, reached = {tenants}, divided | {tenants}
    while reached:
        reached = {
            key.referenced_table
            for key in foreign_keys(catalog)
            if key.parent.name in reached and key.referenced_table is not None
        }
        reached -= divided | everywhere
        everywhere |= reached
    return Layout(
        tenants,
        tuple(sorted(divided)),
        (tenants, *sorted(everywhere - {tenants})),
        tuple(sorted(tables - divided - everywhere)),
    )


def foreign_keys(catalog: Catalog) -> list[Constraint]:
    """Return the foreign keys of all tables."""
    return [each for each in catalog.of(Constraint) if each.type == "FOREIGN KEY"]


def distributed_form(catalog: Catalog, tenancy: Tenancy, found: Catalog | None = None) -> Catalog:
    """Return the catalog of the same database, distributed.

    Primary keys of tenant tables are led by the tenant's column, because Citus refuses others; a
    unique key with the same columns is left out. ON DELETE SET NULL, which Citus refuses, becomes a
    trigger of the table that is referred to.

    ``found`` is what the database has: such a unique key stays if a migration has added it after
    the database was distributed.
    """
    tables = layout(catalog, tenancy)
    if tables is None:
        return catalog
    changed: dict[Reference, Object | None] = {}
    renamed: dict[Reference, Reference] = {}
    added: list[Object] = []
    for key in primary_keys(catalog, tables):
        new = led_by(key, tenancy.column)
        changed[key.reference] = new
        for other in copies(catalog, new):
            if found and other.reference in found.by_reference:
                continue
            changed[other.reference] = None
            renamed[other.reference] = new.reference
            if other.index is not None:
                renamed[Reference("index", other.index)] = new.reference
    for key in cleared_keys(catalog, tables):
        changed[key.reference] = without_action(key)
        added.append(clearing_trigger(key, tenancy.column))
    if added:
        added += _function()
    objects = [changed.get(obj.reference, obj) for obj in catalog.objects]
    return Catalog(
        tuple(sorted([*filter(None, objects), *added], key=sort_key)),
        catalog.not_compared,
        tuple(
            each._replace(on=renamed.get(each.on, each.on))
            for each in catalog.dependencies
            if each.object not in renamed
        ),
    )


def primary_keys(catalog: Catalog, tables: Layout) -> Iterator[Constraint]:
    """Yield the primary keys of the tenant tables."""
    for constraint in catalog.of(Constraint):
        if constraint.type == "PRIMARY KEY" and constraint.parent.name in tables.divided:
            yield constraint


def led_by(key: Constraint, column: str) -> Constraint:
    """Return a primary key that begins with a column."""
    columns = (column, *(each for each in key.columns if each != column))
    before, after = f"({', '.join(key.columns)})", f"({', '.join(columns)})"
    return replace(key, columns=columns, definition=key.definition.replace(before, after, 1))


def copies(catalog: Catalog, key: Constraint) -> Iterator[Constraint]:
    """Yield the unique keys of the table that say the same as a primary key."""
    for other in catalog.of(Constraint):
        same = (other.parent, set(other.columns)) == (key.parent, set(key.columns))
        if other.type == "UNIQUE" and same and not (other.deferrable or other.included):
            yield other


def cleared_keys(catalog: Catalog, tables: Layout) -> Iterator[Constraint]:
    """Yield the foreign keys between tenant tables that set columns to NULL."""
    for key in foreign_keys(catalog):
        if key.referenced_table in tables.divided and key.on_delete == "SET NULL":
            yield key


def without_action(key: Constraint) -> Constraint:
    """Return a foreign key whose ON DELETE does nothing."""
    only = f" ({', '.join(key.on_delete_columns)})" if key.on_delete_columns else ""
    definition = key.definition.replace(f" ON DELETE {key.on_delete}{only}", "")
    return replace(key, on_delete=None, on_delete_columns=(), definition=definition)


def clearing_trigger(key: Constraint, column: str) -> Trigger:
    """Return the trigger that does what ON DELETE SET NULL did."""
    assert key.referenced_table is not None
    cleared = key.on_delete_columns or tuple(each for each in key.columns if each != column)
    referring = ", ".join(key.columns)
    referred = ", ".join(f"($1).{each}" for each in key.referenced_columns)
    arguments = ", ".join(
        literal(text)
        for text in (
            key.parent.name,
            column,
            ", ".join(f"{each} = NULL" for each in cleared),
            f"({referring}) = ({referred})",
        )
    )
    return Trigger(
        kind="trigger",
        name=key.name,
        parent=Reference("table", key.referenced_table),
        definition=f"CREATE TRIGGER {key.name} BEFORE DELETE ON {key.referenced_table}"
        f" FOR EACH ROW EXECUTE FUNCTION {CLEAR}({arguments})",
    )


def _function() -> Iterator[Object]:
    function = Function(
        kind="function",
        name=f"{CLEAR}()",
        parent=Reference("schema", "public"),
        owner=OWNER,
        definition=CLEAR_FUNCTION,
    )
    yield function
    yield Grant(
        kind="grant",
        name=ITS_OWNER,
        parent=function.reference,
        privileges=(Privilege("EXECUTE"),),
    )


def single_form(found: Catalog, declared: Catalog, tenancy: Tenancy) -> Catalog:
    """Return the catalog that a distributed database has on a single server again.

    ``found`` is that of the coordinator, ``declared`` what the migrations build: it has the keys
    that the distributed form has replaced or left out. Everything else is as found.
    """
    tables = layout(declared, tenancy)
    if tables is None:
        return found
    originals: dict[Reference, Object] = {}
    for key in primary_keys(declared, tables):
        originals[key.reference] = key
        originals |= {
            each.reference: each for each in copies(declared, led_by(key, tenancy.column))
        }
    for key in cleared_keys(declared, tables):
        originals[key.reference] = key
    kept = [
        obj
        for obj in found.objects
        if obj.reference not in originals
        and not (isinstance(obj, Trigger) and f" {CLEAR}(" in obj.definition)
        and obj.name != f"{CLEAR}()"
        and (obj.parent is None or obj.parent.name != f"{CLEAR}()")
    ]
    return replace(found, objects=tuple(sorted([*kept, *originals.values()], key=sort_key)))
