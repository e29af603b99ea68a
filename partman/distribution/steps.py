"""The statements that distribute a database, computed from its catalog; nothing is run here."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from partman.catalog.distributed_form import (
    CLEAR,
    CLEAR_FUNCTION,
    Layout,
    cleared_keys,
    clearing_trigger,
    copies,
    foreign_keys,
    led_by,
    primary_keys,
    without_action,
)
from partman.catalog.model import Catalog, Constraint
from partman.grammar.names import LONGEST_NAME, literal, quoted, unquoted, without_schema
from partman.isolation import Tenancy

SETTINGS = (
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
    "SET LOCAL citus.enable_unsafe_triggers = on",
)


class Where(StrEnum):
    """How the statements of a step are run."""

    NODES = "on every node"
    """Each on every node; again if the run is repeated."""
    ALONE = "outside of a transaction"
    """Reads and writes go on."""
    SWITCH = "in one transaction"
    """The tables are locked; if it does not commit, nothing has changed."""
    AFTER = "one by one"
    """Reads and writes go on."""


@dataclass(frozen=True)
class DistributionStep:
    """Statements that are run together."""

    title: str
    where: Where
    statements: tuple[str, ...]
    indexes: tuple[str, ...] = ()
    """The names of the indexes that the statements build, one each, as in SQL with their schema."""


def distribute_steps(
    catalog: Catalog, tables: Layout, tenancy: Tenancy, owner: str
) -> tuple[DistributionStep, ...]:
    """Return the steps. ``owner`` is the role that owns the tables."""
    led = [key for key in primary_keys(catalog, tables) if needs_index(key, tenancy)]
    return (
        DistributionStep("Roles and rights", Where.NODES, (rights(tenancy, owner),)),
        DistributionStep(
            "Indexes of the new primary keys",
            Where.ALONE,
            tuple(_index(key, tenancy, "CONCURRENTLY ") for key in led),
            tuple(_with_schema(index_for(key), key) for key in led),
        ),
        DistributionStep(
            "The switch", Where.SWITCH, tuple(_switch(catalog, tables, tenancy, owner))
        ),
        DistributionStep(
            "Checks and statistics",
            Where.AFTER,
            (
                *(
                    f"ALTER TABLE {key.parent.name} VALIDATE CONSTRAINT {key.name}"
                    for key in keys_to_renew(catalog, tables)
                    if key.valid and key.parent.name in tables.divided
                ),
                *(f"ANALYZE {table}" for table in (*tables.everywhere, *tables.divided)),
            ),
        ),
    )


def form_statements(
    catalog: Catalog, tables: Layout, tenancy: Tenancy, owner: str
) -> tuple[str, ...]:
    """Return the statements that give a single server's keys and triggers the distributed form."""
    keys = keys_to_renew(catalog, tables)
    return (
        *(
            _index(key, tenancy)
            for key in primary_keys(catalog, tables)
            if needs_index(key, tenancy)
        ),
        *_keys_replaced(catalog, tables, tenancy, keys),
        *_references(catalog, tables, tenancy, owner, keys),
    )


def _index(key: Constraint, tenancy: Tenancy, how: str = "") -> str:
    columns = ", ".join(led_by(key, tenancy.column).columns)
    return f"CREATE UNIQUE INDEX {how}{quoted(index_for(key))} ON {key.parent.name} ({columns})"


def _with_schema(name: str, key: Constraint) -> str:
    table = key.parent.name
    return table.removesuffix(without_schema(table)) + quoted(name)


def needs_index(key: Constraint, tenancy: Tenancy) -> bool:
    """Whether a primary key does not yet begin with the tenant's column."""
    return key.columns[0] != tenancy.column


def index_for(key: Constraint) -> str:
    """Return the name of the index that a primary key gets, without quotes."""
    ending = "_distributed"
    start = unquoted(key.name).encode()[: LONGEST_NAME - len(ending)].decode(errors="ignore")
    return start + ending


def keys_to_renew(catalog: Catalog, tables: Layout) -> list[Constraint]:
    """Return the foreign keys of and to tables that do not stay as they are."""
    moved = {*tables.divided, *tables.everywhere}
    return [
        key
        for key in foreign_keys(catalog)
        if key.parent.name in moved or key.referenced_table in moved
    ]


def locked(catalog: Catalog, tables: Layout) -> list[str]:
    """Return the tables that the switch locks."""
    referring = {key.parent.name for key in keys_to_renew(catalog, tables)}
    return sorted({*tables.divided, *tables.everywhere, *referring})


def _switch(catalog: Catalog, tables: Layout, tenancy: Tenancy, owner: str) -> Iterator[str]:
    yield from SETTINGS
    yield f"LOCK TABLE {', '.join(locked(catalog, tables))} IN ACCESS EXCLUSIVE MODE"
    keys = keys_to_renew(catalog, tables)
    yield from _keys_replaced(catalog, tables, tenancy, keys)
    for table in tables.everywhere:
        yield f"SELECT create_reference_table({literal(table)})"
    for table in tables.divided:
        beside = "none" if table == tables.divided[0] else tables.divided[0]
        yield (
            f"SELECT create_distributed_table({literal(table)}, {literal(tenancy.column)},"
            f" colocate_with => {literal(beside)})"
        )
    for table in (*tables.everywhere, *tables.divided):
        yield f"SELECT truncate_local_data_after_distributing_table({literal(table)})"
    yield from _references(catalog, tables, tenancy, owner, keys)


def _keys_replaced(
    catalog: Catalog, tables: Layout, tenancy: Tenancy, keys: Sequence[Constraint]
) -> Iterator[str]:
    yield from drop_constraints(keys)
    for key in primary_keys(catalog, tables):
        yield from _swapped(catalog, key, tenancy)


def _swapped(catalog: Catalog, key: Constraint, tenancy: Tenancy) -> Iterator[str]:
    """Yield the statement that replaces a primary key and drops what repeats the new one."""
    new = led_by(key, tenancy.column)
    dropped = [f"DROP CONSTRAINT {other.name}" for other in copies(catalog, new)]
    if needs_index(key, tenancy):
        dropped.append(f"DROP CONSTRAINT {key.name}")
        dropped.append(
            f"ADD CONSTRAINT {key.name} PRIMARY KEY USING INDEX {quoted(index_for(key))}"
        )
    if dropped:
        yield f"ALTER TABLE {key.parent.name} {', '.join(dropped)}"
    if key.comment is not None:
        yield (f"COMMENT ON CONSTRAINT {key.name} ON {key.parent.name} IS {literal(key.comment)}")


def _references(
    catalog: Catalog, tables: Layout, tenancy: Tenancy, owner: str, keys: Sequence[Constraint]
) -> Iterator[str]:
    cleared = list(cleared_keys(catalog, tables))
    for key in keys:
        # Rows were valid a moment ago, under this lock; it is checked afterwards, without one.
        later = " NOT VALID" if key.parent.name in tables.divided or not key.valid else ""
        new = without_action(key) if key in cleared else key
        yield f"ALTER TABLE {key.parent.name} ADD CONSTRAINT {key.name} {new.definition}{later}"
        if key.comment is not None:
            yield f"COMMENT ON CONSTRAINT {key.name} ON {key.parent.name} IS {literal(key.comment)}"
    if cleared:
        yield CLEAR_FUNCTION.rstrip()
        yield f"ALTER FUNCTION {CLEAR}() OWNER TO {owner}"
        yield f"REVOKE EXECUTE ON FUNCTION {CLEAR}() FROM PUBLIC"
    for key in cleared:
        yield clearing_trigger(key, tenancy.column).definition


def drop_constraints(keys: Iterable[Constraint]) -> Iterator[str]:
    """Yield the statements that drop constraints, one for each table."""
    by_table: dict[str, list[str]] = {}
    for key in keys:
        by_table.setdefault(key.parent.name, []).append(f"DROP CONSTRAINT {key.name}")
    for table, clauses in by_table.items():
        yield f"ALTER TABLE {table} {', '.join(clauses)}"


def rights(tenancy: Tenancy, owner: str) -> str:
    """Return the statement that sets up the roles and rights of one node.

    The coordinator connects to the workers as the role that a query runs as: it must be able to
    log in there. What PUBLIC may not do on the coordinator, Citus does not revoke on the workers;
    a role that may call ``set_config`` or send commands to nodes could choose its tenant.
    """
    working = tenancy.roles.those_of("app", "seed", "operator", "reports")
    listed = ", ".join(literal(role) for role in (*working, unquoted(owner)))
    everyone = ", ".join(literal(role) for role in tenancy.roles.all)
    return f"""\
DO $$
DECLARE
    role text;
    command regprocedure;
BEGIN
    PERFORM pg_catalog.set_config('citus.enable_ddl_propagation', 'off', true);
    FOREACH role IN ARRAY ARRAY[{everyone}] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role);
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY[{listed}] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role AND NOT rolcanlogin) THEN
            EXECUTE format('ALTER ROLE %I LOGIN', role);
        END IF;
        IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO {", ".join(tenancy.roles.all)};
    IF NOT has_schema_privilege({literal(unquoted(owner))}, 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO {owner};
    END IF;
    REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)
        TO {", ".join((*tenancy.roles.logins, owner))};
    FOR command IN
        SELECT p.oid::regprocedure FROM pg_proc p
        JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND deptype = 'e'
        JOIN pg_extension e ON e.oid = d.refobjid AND extname = 'citus'
        WHERE proname ~ '^(run_command_on_|master_run_on_worker$|citus_run_local_|worker_apply_)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', command);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {owner}', command);
    END LOOP;
END
$$"""
