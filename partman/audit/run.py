"""Ask every rule, in one snapshot, of the database that we are connected to."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import asyncpg

from partman.apps import app_configs, app_modules, offered, partman_config
from partman.audit import (
    catalog_rights,
    database,
    functions,
    grant_options,
    indexes,
    keys,
    logins,
    operator,
    outside_roles,
    privileges,
    roles,
    row_security,
    session_settings,
    triggers,
    unique_keys,
    views,
)
from partman.audit.nodes import NODES, node_gaps
from partman.audit.rule import Gap, Rule, common
from partman.database.distributed import own_distribution
from partman.database.engine import DatabaseEngine, project_engine
from partman.errors import NotIsolatedError, PermissionDeniedError, SettingsError
from partman.isolation import Tenancy, TenantTable

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from piccolo.table import Table

_SUBJECTS = (
    row_security,
    # Before the rules of the rights, whose REVOKE stops at what was passed on.
    grant_options,
    privileges,
    keys,
    # After the rules of the references, whose new keys may need the old ones.
    unique_keys,
    triggers,
    indexes,
    views,
    functions,
    catalog_rights,
    roles,
    outside_roles,
    session_settings,
    logins,
    operator,
    database,
)
"""In the order of the report."""


_SETTINGS = """
-- So that every name comes with its schema, and nobody's function stands in for another.
SET LOCAL search_path = pg_catalog;
-- It would take seconds to compile what the catalog answers in milliseconds.
SET LOCAL jit = off
"""
_OWN_TRANSACTION = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "ROLLBACK")
# ROLLBACK TO SAVEPOINT also reverts SET LOCAL.
_OPEN_TRANSACTION = (
    "SAVEPOINT partman_audit",
    "ROLLBACK TO SAVEPOINT partman_audit; RELEASE SAVEPOINT partman_audit",
)


@dataclass(frozen=True)
class Findings:
    """What an audit found."""

    gaps: list[Gap]
    not_asked: Mapping[str, str]
    """The rules that this role could not ask, each with the server's reason."""


@dataclass(frozen=True)
class Audit:
    """What is asked of a database."""

    tenancy: Tenancy
    rules: tuple[Rule, ...]
    """In the order of the report; each has a name of its own."""
    tables_without_tenant: frozenset[str] = frozenset()
    """Names of tables whose rows are no tenant's, whatever they refer to."""
    global_keys: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By table, the names of unique keys that hold for all tenants on purpose."""

    async def gaps(
        self, connection: "Connection[Record]", ignore: Collection[str] = ()
    ) -> list[Gap]:
        """Return what keeps the database from isolating its tenants; nothing, if nothing does.

        ``ignore`` has names of rules that are not asked. Reads the catalog only, in a transaction
        that is read-only, and needs no right but to connect.
        Raises NotIsolatedError where there are no roles or no tables to hang isolation on,
        DistributedError, and PermissionDeniedError where the role may not read all of the catalog.
        """
        found = await self.look(connection, ignore)
        for rule, reason in found.not_asked.items():
            raise PermissionDeniedError(
                f"The role may not read what the rule {rule} asks for: {reason}. Nothing was "
                "changed. Connect as another role, such as the server's administrator."
            )
        return found.gaps

    async def look(
        self, connection: "Connection[Record]", ignore: Collection[str] = ()
    ) -> Findings:
        """Return the gaps, and what this role could not look at: a server may hide its catalog.

        As gaps(), which raises for what is hidden.
        """
        rules = [rule for rule in self.rules if rule.name not in ignore]
        if not rules:
            return Findings([], {})
        async with _reading(connection):
            is_distributed = await own_distribution(connection) is not None
            await self._refuse_unmigrated(connection)
            try:
                found = Findings(await self._ask(connection, rules), {})
            except asyncpg.InsufficientPrivilegeError:
                found = await self._ask_each(connection, rules)
            return await _with_nodes(connection, found) if is_distributed else found

    async def _ask_each(self, connection: "Connection[Record]", rules: Sequence[Rule]) -> Findings:
        gaps: list[Gap] = []
        not_asked = {}
        for rule in rules:
            try:
                gaps += await self._ask(connection, [rule])
            except asyncpg.InsufficientPrivilegeError as error:
                not_asked[rule.name] = str(error)
        return Findings(gaps, not_asked)

    async def _ask(self, connection: "Connection[Record]", rules: Sequence[Rule]) -> list[Gap]:
        await connection.execute("SAVEPOINT partman_rule")
        try:
            found = await connection.fetch(f"{self._common} {_together(rules)}")
        except asyncpg.InsufficientPrivilegeError:
            await connection.execute("ROLLBACK TO SAVEPOINT partman_rule")
            raise
        return [
            Gap(rules[row["rule"]].name, row["object"], row["reason"], row["remedy"])
            for row in found
        ]

    async def isolated_tables(self, connection: "Connection[Record]") -> set[str]:
        """Return the names of the tables of which a tenant sees its own rows, and no others.

        These are the tenants' tables on which the rules about row level security find no gap.
        """
        rules = replace(self, rules=row_security.rules(self.tenancy))
        try:
            gaps = await rules.gaps(connection)
        except NotIsolatedError:
            return set()
        return {
            table
            for table in await self.tenant_tables(connection)
            # A gap of a policy is called: policy ON table.
            if not any(
                table in (gap.object, *gap.tables) or gap.object.endswith(f" ON {table}")
                for gap in gaps
            )
        }

    async def tenant_tables(self, connection: "Connection[Record]") -> list[str]:
        """Return the names of the tables that the rules took for a tenant's."""
        async with _reading(connection):
            rows = await connection.fetch(f"{self._common} SELECT name FROM tenant ORDER BY name")
        return [row["name"] for row in rows]

    @cached_property
    def _common(self) -> str:
        return common(self.tenancy, self.tables_without_tenant, self.global_keys)

    async def _refuse_unmigrated(self, connection: "Connection[Record]") -> None:
        needed = self.tenancy.roles.those_of("app", "api", "auth")
        # Not as an array: for that, the driver would call set_config, which not every role may.
        there = await connection.fetch(
            "SELECT rolname::text FROM pg_roles WHERE rolname = ANY (string_to_array($1, ','))",
            ",".join(needed),
        )
        missing = sorted(set(needed) - {row["rolname"] for row in there})
        if missing:
            what = f"The server has no role {', '.join(missing)}"
        elif not await connection.fetchval(f"{self._common} SELECT count(*) FROM tenant"):
            what = (
                f"The database has no table {self.tenancy.table}, and none with a column "
                f"{self.tenancy.column}"
            )
        else:
            return
        raise NotIsolatedError(
            f"{what}: its tenants are not isolated yet, and nothing was audited. "
            "Run the migrations first: piccolo migrations forwards all"
        )


async def _with_nodes(connection: "Connection[Record]", found: Findings) -> Findings:
    try:
        return replace(found, gaps=[*found.gaps, *await node_gaps(connection)])
    except asyncpg.InsufficientPrivilegeError as error:
        return replace(found, not_asked={**found.not_asked, NODES: str(error)})


def _together(rules: Sequence[Rule]) -> str:
    """Return one query for all rules.

    Planning what they have in common takes most of the time, and is done once a query.
    """
    queries = (
        f"SELECT {number} AS rule, object::text, reason::text, remedy::text"
        f" FROM ({rule.query}) AS gap"
        for number, rule in enumerate(rules)
    )
    return f"{' UNION ALL '.join(queries)} ORDER BY rule, object, reason"


def rules_for(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules that hold for every tenancy."""
    return tuple(rule for subject in _SUBJECTS for rule in subject.rules(tenancy))


def project_audit() -> Audit | None:
    """Return the audit of the project: of the engine's tenancy, with the rules of its apps.

    None where the project has no tenancy. Raises SettingsError where an app offers rules that
    cannot be imported, or whose name another rule has.
    """
    tenancy = project_engine(DatabaseEngine).tenancy
    if tenancy is None:
        return None
    of_apps = itertools.chain.from_iterable(offered("audit_rules").values())
    rules = [*rules_for(tenancy), *of_apps]
    names = Counter(rule.name for rule in rules)
    if twice := [name for name, times in names.items() if times > 1]:
        raise SettingsError(
            f"Two rules of the audit have one name: {', '.join(twice)}. Nothing was audited. "
            "Rename the one that an app offers in PARTMAN_CONFIG.audit_rules."
        )
    configs = [partman_config(module) for module in app_modules()]
    without = frozenset(table for config in configs for table in config.tables_without_tenant)
    tables = [table for app in app_configs() for table in app.table_classes]
    return Audit(tenancy, tuple(rules), without, global_keys(tables))


def global_keys(tables: "Iterable[type[Table]]") -> Mapping[str, Collection[str]]:
    """Return the unique keys that table classes declare for all tenants, by table."""
    return {
        table._meta.tablename: table.global_keys
        for table in tables
        if issubclass(table, TenantTable)
    }


@asynccontextmanager
async def _reading(connection: "Connection[Record]") -> AsyncIterator[None]:
    begin, end = _OPEN_TRANSACTION if connection.is_in_transaction() else _OWN_TRANSACTION
    await connection.execute(f"{begin};{_SETTINGS}")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(end)
