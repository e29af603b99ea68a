"""What keeps a schema from being distributed."""

from collections.abc import Iterator
from dataclasses import dataclass

from partman.catalog.distributed_form import (
    Layout,
    cleared_keys,
    foreign_keys,
    layout,
    primary_keys,
)
from partman.catalog.identity import PUBLIC
from partman.catalog.model import Catalog, Column, Constraint, Index, Policy, Table
from partman.isolation import Key, Tenancy


@dataclass(frozen=True)
class Obstacle:
    """Something that has to be changed first."""

    object: str
    reason: str
    remedy: str
    """What to do, in a sentence or as SQL."""


def obstacles_in(catalog: Catalog, tables: Layout, tenancy: Tenancy) -> list[Obstacle]:
    """Return what Citus would refuse, or could not keep as it is declared."""
    return [
        *_texts_as_tenants(tenancy),
        *_without_key(catalog, tables),
        *_refused(catalog, tables, tenancy),
    ]


def _refused(catalog: Catalog, tables: Layout, tenancy: Tenancy) -> list[Obstacle]:
    return [
        *_tables(catalog, tables),
        *_keys(catalog, tables, tenancy),
        *_references(catalog, tables, tenancy),
        *_policies(catalog, tables),
        *_generated(catalog, tables),
    ]


def new_obstacles(before: Catalog, after: Catalog, tenancy: Tenancy) -> list[Obstacle]:
    """Return what a migration of a distributed database brings that cannot be there.

    Both catalogs have the distributed form. A primary key of a new table may be without the
    tenant's column, which a run puts in front.
    """
    there, wanted = layout(before, tenancy), layout(after, tenancy)
    if there is None or wanted is None:
        return []
    known = {*_refused(before, there, tenancy), *before.objects}
    return [
        *(each for each in _refused(after, wanted, tenancy) if each not in known),
        *(
            Obstacle(
                f"{key.name} on {key.parent.name}",
                "Citus refuses ON DELETE SET NULL of a new foreign key.",
                "Choose another action.",
            )
            for key in cleared_keys(after, wanted)
            if key not in known
        ),
        *(
            _without_tenant(key.name, key.parent.name, tenancy)
            for key in primary_keys(after, there)
            if tenancy.column not in key.columns and key not in known
        ),
    ]


def _tables(catalog: Catalog, tables: Layout) -> Iterator[Obstacle]:
    if not tables.divided:
        yield Obstacle(
            tables.tenants,
            "No other table has the tenant's column, NOT NULL.",
            "Nothing is left to distribute.",
        )
    for table in catalog.of(Table):
        if table.name not in (*tables.divided, *tables.everywhere):
            continue
        if table.partition_key or table.inherits or table.foreign or table.unlogged:
            yield Obstacle(
                table.name,
                "It is partitioned, inherits, is foreign or unlogged, which is not supported here.",
                "Make it an ordinary table by a migration, or keep a single server.",
            )


def _texts_as_tenants(tenancy: Tenancy) -> Iterator[Obstacle]:
    # It computes what has no column beforehand, also in the branch of a CASE that is not taken:
    # the one that is an error for an empty tenant.
    if tenancy.key is Key.TEXT:
        yield Obstacle(
            tenancy.table,
            "Its key is a text. Citus would refuse each INSERT and UPDATE of a tenant, because of "
            "the condition with which policies refuse an empty text, and cannot check foreign keys "
            "of character varying.",
            "Keep a single server, or use a key of UUID, integer or bigint.",
        )


def _without_key(catalog: Catalog, tables: Layout) -> Iterator[Obstacle]:
    with_key = {key.parent.name for key in primary_keys(catalog, tables)}
    for table in tables.divided:
        if table not in with_key:
            yield Obstacle(table, "It has no primary key.", "Add a primary key by a migration.")


def _keys(catalog: Catalog, tables: Layout, tenancy: Tenancy) -> Iterator[Obstacle]:
    for key in catalog.of(Constraint):
        if key.parent.name not in tables.divided or tenancy.column in key.columns:
            continue
        if key.type in ("UNIQUE", "EXCLUDE"):
            yield _without_tenant(key.name, key.parent.name, tenancy)
    for index in catalog.of(Index):
        columns = {each.column for each in index.keys}
        if index.unique and index.parent.name in tables.divided and tenancy.column not in columns:
            yield _without_tenant(index.name, index.parent.name, tenancy)


def _without_tenant(name: str, table: str, tenancy: Tenancy) -> Obstacle:
    return Obstacle(
        f"{name} on {table}",
        f"A node sees its own rows only: without {tenancy.column} it cannot keep values unique.",
        f"Replace it by a migration with a key that has {tenancy.column} among its columns.",
    )


def _references(catalog: Catalog, tables: Layout, tenancy: Tenancy) -> Iterator[Obstacle]:
    for key in foreign_keys(catalog):
        name = f"{key.name} on {key.parent.name}"
        divided = key.parent.name in tables.divided
        if key.referenced_table in tables.divided:
            if not divided:
                yield Obstacle(
                    name,
                    "A table that is not distributed cannot refer to one that is.",
                    f"Give {key.parent.name} a column {tenancy.column} NOT NULL, or drop the key.",
                )
            elif (tenancy.column, tenancy.column) not in zip(
                key.columns, key.referenced_columns, strict=True
            ):
                yield Obstacle(
                    name,
                    f"A reference between tenant tables needs {tenancy.column} on both sides.",
                    "See: partman check",
                )
        if divided and _changes(key, tenancy.column):
            yield Obstacle(
                name,
                "Citus refuses SET NULL, SET DEFAULT and ON UPDATE here; only ON DELETE SET NULL "
                "of a reference to a tenant table has an equivalent.",
                "Choose another action by a migration.",
            )
    names = [(key.referenced_table, key.name) for key in cleared_keys(catalog, tables)]
    for table, key_name in sorted({each for each in names if names.count(each) > 1}):
        yield Obstacle(
            f"{key_name} to {table}",
            "Two foreign keys have this name, and each needs a trigger of its name.",
            "Rename one of them by a migration.",
        )


def _changes(key: Constraint, column: str) -> bool:
    """Whether the key has an action without an equivalent."""
    if key.on_update not in (None, "RESTRICT") or key.on_delete == "SET DEFAULT":
        return True
    # The list spares the tenant's column; without it, all columns are set.
    return key.on_delete == "SET NULL" and (
        column not in key.columns
        or len(key.columns) == 1
        or not key.on_delete_columns
        or column in key.on_delete_columns
    )


def _policies(catalog: Catalog, tables: Layout) -> Iterator[Obstacle]:
    moved = (*tables.divided, *tables.everywhere)
    policies = [each for each in catalog.of(Policy) if each.parent.name in moved]
    for policy in policies:
        if "SELECT" in f"{policy.using} {policy.check}":
            yield Obstacle(
                f"{policy.name} on {policy.parent.name}",
                "Citus refuses policies with sub-selects.",
                "Write the condition without SELECT, by a migration.",
            )
        if not policy.permissive and not any(_says_the_same(policy, each) for each in policies):
            yield Obstacle(
                f"{policy.name} on {policy.parent.name}",
                "Citus loses the word RESTRICTIVE: on the nodes, this policy would show the rows "
                "of its own condition in addition to those of the other policies.",
                "Write its condition into the permissive policies, and drop it, by a migration.",
            )
        if any(_is_narrowed_by(policy, each) for each in policies):
            yield Obstacle(
                f"{policy.name} on {policy.parent.name}",
                "Only a RESTRICTIVE policy with another condition narrows it, a word that Citus "
                "loses: on the nodes, this policy would show all rows of its own condition.",
                "Give it the condition of the restrictive policy, or drop it, by a migration.",
            )


def _says_the_same(restrictive: Policy, other: Policy) -> bool:
    """Whether nothing is opened if the first policy becomes permissive beside the other one."""
    return (
        other.permissive
        and other.parent == restrictive.parent
        and other.using == restrictive.using
        and (restrictive.check in (None, other.check or other.using))
        and other.command in ("ALL", restrictive.command)
        and (PUBLIC in other.roles or {*restrictive.roles} <= {*other.roles})
    )


def _is_narrowed_by(policy: Policy, other: Policy) -> bool:
    """Whether the first policy opens more if the other one, of the same rows, is permissive."""
    roles = {*policy.roles}, {*other.roles}
    return (
        policy.permissive
        and not other.permissive
        and other.parent == policy.parent
        and (bool(roles[0] & roles[1]) or PUBLIC in (*policy.roles, *other.roles))
        and (policy.command == other.command or "ALL" in (policy.command, other.command))
        and not (
            policy.using in (None, other.using)
            and policy.check in (None, other.check or other.using)
        )
    )


def _generated(catalog: Catalog, tables: Layout) -> Iterator[Obstacle]:
    for column in catalog.of(Column):
        table = column.parent.name
        if table in (*tables.divided, *tables.everywhere) and "VIRTUAL" in (column.generated or ""):
            yield Obstacle(
                f"{table}.{column.name}",
                "Citus copies no virtual generated columns.",
                "Make it STORED by a migration.",
            )
