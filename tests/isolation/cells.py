"""The matrix: the privileges of each role on each tenant table, derived from rules.

Statements aim at the rows of the world's ``own`` tenant. The current tenant is ``own``, the
``other``, or invalid, and the rule determines the expected result.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from tests.isolation.rows import Row, World, matching, values
from tests.isolation.tables import TENANTS, Connection, Reference, Table

Expected = int | frozenset[str]
"""The expected number of rows, all of them the tenant's; or the allowed SQLSTATEs of an error."""

DENIED = frozenset({"42501"})
NO_TENANT = frozenset({"42704", "22P02"})
"""Never set, or set to an invalid ID; after a transaction that had set it, it is empty."""
NO_SUCH_ROW = frozenset({"23503"})
NOT_UNDER_POLICIES = frozenset({"0A000"})


class Role(StrEnum):
    APP = "partman_app"
    """The role of a tenant's statements."""
    API = "partman_api"
    """The login, before SET ROLE."""
    CONSOLE = "partman_console"
    """The console's login, before SET ROLE."""
    SEED = "partman_seed"
    """Loads the development data into the tenants' tables."""
    AUTH = "partman_auth"
    """Looks up organizations; the logins cannot become this role."""


class Setting(StrEnum):
    UNSET = "unset"
    EMPTY = "empty"
    GARBAGE = "garbage"
    OWN = "own"
    OTHER = "other"


class Way(StrEnum):
    """How the statement reaches the server."""

    QUERY = "query"
    COPY_TO = "copy to"
    COPY_FROM = "copy from"


class Reach(StrEnum):
    """The rows that a statement may reach within a tenant."""

    ITS_ROWS = "the rows of whoever is the tenant"
    JOINED = "those of them that refer to another row"
    THE_ROW = "the row, if it is the tenant's"
    A_NEW_ROW = "its effect, if it is the tenant's row"
    ALWAYS_ONE = "one row of the tenant's own"
    NO_REFERENCE = "nothing, as it refers to another tenant's row"
    NO_COPY = "nothing, as PostgreSQL has no COPY FROM under policies"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Aim:
    """The values from which a statement is built."""

    table: Table
    target: Row
    """A row of ``own``."""
    new: Row
    """A row that ``own`` could add."""
    tenants_new: Row
    """A row that the tenant could add."""
    tenants: Row
    """A row of the tenant."""
    strangers: dict[Reference, dict[str, str]]
    """For each reference, the values of its columns that refer to another tenant's row."""
    other_tenant: UUID
    """The tenant that is not ``own``."""
    copied: Row
    """As ``tenants_new``, but with the values of another tenant's row."""

    @property
    def is_target(self) -> str:
        return matching(self.target, self.table.key)


@dataclass(frozen=True)
class Operation:
    name: str
    needs: frozenset[str]
    """The privileges; ``organizations`` lacks some of them."""
    reach: Reach
    sql: Callable[[Aim], str]
    way: Way = Way.QUERY
    joined: tuple[str, ...] = ()
    """The columns that refer to the other row."""


@dataclass(frozen=True)
class Cell:
    table: str
    operation: str
    role: Role
    setting: Setting
    way: Way
    sql: str
    expected: Expected

    def __str__(self) -> str:
        return f"{self.table} / {self.operation} / {self.role} / {self.setting}"


def _operations(table: Table) -> Iterator[Operation]:
    yield from _READS
    yield from _WRITES
    for reference in table.outgoing:
        yield from _references(reference)


def _op(
    name: str, needs: str, reach: Reach, sql: Callable[[Aim], str], way: Way = Way.QUERY
) -> Operation:
    return Operation(name, frozenset(needs.split()), reach, sql, way)


_READS = (
    _op(
        "select", "select", Reach.ITS_ROWS,
        lambda a: f"SELECT {a.table.tenant}::text FROM {a.table.name}",
    ),
    _op(
        "select by key", "select", Reach.THE_ROW,
        lambda a: f"SELECT {a.table.tenant}::text FROM {a.table.name} WHERE {a.is_target}",
    ),
    _op(
        "select for update", "select update", Reach.ITS_ROWS,
        lambda a: f"SELECT {a.table.tenant}::text FROM {a.table.name} FOR UPDATE",
    ),
    _op(
        "copy to", "select", Reach.ITS_ROWS,
        lambda a: f"COPY {a.table.name} ({a.table.tenant}) TO STDOUT", Way.COPY_TO,
    ),
    _op(
        "copy query to", "select", Reach.THE_ROW,
        lambda a: f"COPY (SELECT {a.table.tenant} FROM {a.table.name} WHERE {a.is_target})"
        " TO STDOUT", Way.COPY_TO,
    ),
)  # fmt: skip

_WHOLE_ROWS = _op(
    "select whole rows", "select", Reach.NOTHING,
    lambda a: f"SELECT t::text FROM {a.table.name} t",
)  # fmt: skip

_WRITES = (
    _op(
        "insert", "insert", Reach.A_NEW_ROW,
        lambda a: f"INSERT INTO {a.table.name} {values(a.new)}",
    ),
    _op(
        "insert returning", "insert select", Reach.A_NEW_ROW,
        lambda a: f"INSERT INTO {a.table.name} {values(a.new)} RETURNING {a.table.tenant}::text",
    ),
    _op(
        "insert what another has", "insert", Reach.ALWAYS_ONE,
        lambda a: f"INSERT INTO {a.table.name} {values(a.copied)}",
    ),
    _op(
        "insert on conflict do update", "insert select update", Reach.A_NEW_ROW,
        lambda a: f"INSERT INTO {a.table.name}"
        f" {values({**a.tenants_new, **{column: a.target[column] for column in a.table.key}})}"
        f" ON CONFLICT ({', '.join(a.table.key)})"
        f" DO UPDATE SET {a.table.harmless} = EXCLUDED.{a.table.harmless}",
    ),
    _op(
        "update", "update select", Reach.ITS_ROWS,
        lambda a: f"UPDATE {a.table.name} SET {a.table.harmless} = {a.table.harmless}",
    ),
    _op(
        "update without a look", "update", Reach.ITS_ROWS,
        lambda a: f"UPDATE {a.table.name} SET {a.table.harmless} = {a.tenants[a.table.harmless]}",
    ),
    _op(
        "update by key returning", "update select", Reach.THE_ROW,
        lambda a: f"UPDATE {a.table.name} SET {a.table.harmless} = {a.table.harmless}"
        f" WHERE {a.is_target} RETURNING {a.table.tenant}::text",
    ),
    _op("delete", "delete", Reach.ITS_ROWS, lambda a: f"DELETE FROM {a.table.name}"),
    _op(
        "delete by key returning", "delete select", Reach.THE_ROW,
        lambda a: f"DELETE FROM {a.table.name} WHERE {a.is_target}"
        f" RETURNING {a.table.tenant}::text",
    ),
    _op("truncate", "", Reach.NOTHING, lambda a: f"TRUNCATE {a.table.name} CASCADE"),
    _op(
        "copy from", "insert", Reach.NO_COPY,
        lambda a: f"COPY {a.table.name} ({a.table.tenant}) FROM STDIN", Way.COPY_FROM,
    ),
    _op(
        "merge update", "select update", Reach.THE_ROW,
        lambda a: f"MERGE INTO {a.table.name} AS t USING (VALUES (1)) AS one"
        f" ON {matching(a.target, a.table.key, 't.')}"
        f" WHEN MATCHED THEN UPDATE SET {a.table.harmless} = t.{a.table.harmless}",
    ),
    _op(
        "merge delete", "select delete", Reach.THE_ROW,
        lambda a: f"MERGE INTO {a.table.name} AS t USING (VALUES (1)) AS one"
        f" ON {matching(a.target, a.table.key, 't.')} WHEN MATCHED THEN DELETE",
    ),
    _op(
        "merge insert", "select insert", Reach.A_NEW_ROW,
        lambda a: f"MERGE INTO {a.table.name} AS t USING (VALUES (1)) AS one ON false"
        f" WHEN NOT MATCHED THEN INSERT {values(a.new)}",
    ),
    _op(
        "move to another tenant", "", Reach.NOTHING,
        lambda a: f"UPDATE {a.table.name} SET {a.table.tenant} = '{a.other_tenant}'"
        f" WHERE {a.is_target}",
    ),
    _op(
        "move on conflict", "", Reach.NOTHING,
        lambda a: f"INSERT INTO {a.table.name}"
        f" {values({**a.new, **{column: a.target[column] for column in a.table.key}})}"
        f" ON CONFLICT ({', '.join(a.table.key)})"
        f" DO UPDATE SET {a.table.tenant} = '{a.other_tenant}'",
    ),
)  # fmt: skip


def _references(reference: Reference) -> Iterator[Operation]:
    to = f"({', '.join(reference.columns)})"
    on = " AND ".join(
        f"t.{here} = r.{there}"
        for here, there in zip(reference.columns, reference.referenced, strict=True)
    )
    yield Operation(
        f"join by {to}", frozenset({"select"}), Reach.JOINED,
        lambda a: f"SELECT t.{a.table.tenant}::text FROM {a.table.name} t"
        f" JOIN {reference.table} r ON {on}",
        joined=reference.columns,
    )  # fmt: skip
    yield _op(
        f"insert with another's row in {to}", "insert", Reach.NO_REFERENCE,
        lambda a: f"INSERT INTO {a.table.name}"
        f" {values({**a.tenants_new, **a.strangers[reference]})}",
    )  # fmt: skip
    yield _op(
        f"update to another's row in {to}", "update", Reach.NO_REFERENCE,
        lambda a: f"UPDATE {a.table.name} SET "
        + ", ".join(f"{name} = {value}" for name, value in a.strangers[reference].items())
        + f" WHERE {matching(a.tenants, a.table.key)}",
    )  # fmt: skip


async def cells(connection: Connection, world: World) -> AsyncIterator[Cell]:
    """Yield every cell of every table; first those without a tenant, which was never set."""
    for setting in Setting:
        for table in world.tables:
            aim = await _aim(connection, world, table, setting)
            for operation in _operations(table):
                for role in (Role.APP, Role.API, Role.CONSOLE):
                    expected = _expected(operation, world, table, role, setting)
                    yield _cell(operation, aim, role, setting, expected)
            if setting is Setting.OWN:
                for operation in (_WHOLE_ROWS, *_WRITES):
                    yield _cell(operation, aim, Role.AUTH, setting, DENIED)
    for cell in (*_calls(world), *_of_the_console(world)):
        yield cell


def _cell(operation: Operation, aim: Aim, role: Role, setting: Setting, expected: Expected) -> Cell:
    name, sql = operation.name, operation.sql(aim)
    return Cell(aim.table.name, name, role, setting, operation.way, sql, expected)


def _calls(world: World) -> Iterator[Cell]:
    """A tenant may not call security definer functions; the login may call the lookup."""
    for call in world.functions:
        name, sql = call.partition("(")[0], f"SELECT {call}::text"
        yield Cell(name, "call", Role.APP, Setting.OWN, Way.QUERY, sql, DENIED)
    if not world.functions:
        return
    [organization] = world.rows[f"public.{TENANTS}", world.own]
    sql = f"SELECT public.organization_for_subdomain({organization['subdomain']})::text"
    for role in (Role.API, Role.CONSOLE):
        yield Cell(f"public.{TENANTS}", "look up", role, Setting.OWN, Way.QUERY, sql, 1)
    sql = f"SELECT id::text FROM public.active_organizations({organization['subdomain']}, 9, 0)"
    for role, expected in ((Role.API, DENIED), (Role.SEED, DENIED), (Role.CONSOLE, 1)):
        yield Cell(f"public.{TENANTS}", "list names", role, Setting.OWN, Way.QUERY, sql, expected)


def _of_the_console(world: World) -> Iterator[Cell]:
    """The console's accounts and sessions are for no other role, whoever the tenant is."""
    for table, columns in world.console.items():
        statements = (
            *(
                statement
                for column in columns
                for statement in (
                    (f"select {column}", Way.QUERY, f"SELECT {column}::text FROM {table}"),
                    (
                        f"update {column}", Way.QUERY,
                        f"UPDATE {table} SET {column} = NULL",
                    ),
                )
            ),
            ("count", Way.QUERY, f"SELECT count(*)::text FROM {table}"),
            ("insert", Way.QUERY, f"INSERT INTO {table} DEFAULT VALUES"),
            ("delete", Way.QUERY, f"DELETE FROM {table}"),
            ("truncate", Way.QUERY, f"TRUNCATE {table} CASCADE"),
            ("lock", Way.QUERY, f"LOCK TABLE {table} IN ACCESS SHARE MODE"),
            ("copy to", Way.COPY_TO, f"COPY {table} TO STDOUT"),
            ("copy from", Way.COPY_FROM, f"COPY {table} (organization_id) FROM STDIN"),
            (
                "merge delete", Way.QUERY,
                f"MERGE INTO {table} AS t USING (VALUES (1)) AS one ON true"
                " WHEN MATCHED THEN DELETE",
            ),
        )  # fmt: skip
        for name, way, sql in statements:
            for role in (Role.APP, Role.API, Role.SEED, Role.AUTH):
                for setting in (Setting.UNSET, Setting.OWN):
                    yield Cell(table, name, role, setting, way, sql, DENIED)


async def _aim(connection: Connection, world: World, table: Table, setting: Setting) -> Aim:
    tenant = world.other if setting is Setting.OTHER else world.own
    stranger = world.the_other(tenant)
    fresh = await world.new_row(connection, table, tenant)
    theirs = world.rows[table.name, stranger][-1]
    not_copied = {*table.key, table.tenant, *table.required_references}
    return Aim(
        table,
        target=world.rows[table.name, world.own][0],
        new=await world.new_row(connection, table, world.own),
        tenants_new=fresh,
        tenants=world.rows[table.name, tenant][0],
        strangers={
            reference: {
                here: world.rows[reference.table, stranger][0][there]
                for here, there in zip(reference.columns, reference.referenced, strict=True)
                if here != table.tenant
            }
            for reference in table.outgoing
        },
        other_tenant=world.other,
        copied={name: fresh[name] if name in not_copied else theirs[name] for name in fresh},
    )


def _expected(
    operation: Operation, world: World, table: Table, role: Role, setting: Setting
) -> Expected:
    granted = {"select", "update"} if table.is_tenants else {"select", "insert", "update", "delete"}
    proper = setting in {Setting.OWN, Setting.OTHER}
    if role in (Role.API, Role.CONSOLE):
        return DENIED
    if operation.reach is Reach.NOTHING or not operation.needs <= granted:
        # The planner may read the tenant's setting before privileges are checked.
        return DENIED if proper else DENIED | NO_TENANT
    if operation.reach is Reach.NO_COPY:
        return NOT_UNDER_POLICIES
    if not proper:
        return NO_TENANT
    own = setting is Setting.OWN
    tenant = world.own if own else world.other
    reached: dict[Reach, Expected] = {
        Reach.ITS_ROWS: world.number_of_rows(table, tenant),
        Reach.JOINED: world.number_of_rows(table, tenant, given=operation.joined),
        Reach.THE_ROW: 1 if own else 0,
        Reach.A_NEW_ROW: 1 if own else DENIED,
        Reach.ALWAYS_ONE: 1,
        Reach.NO_REFERENCE: NO_SUCH_ROW,
    }
    return reached[operation.reach]
