"""What keeps a tenant's rows to itself, as SQL: the same for every tenant table."""

from collections.abc import Iterable

from partman.grammar.names import literal, quoted
from partman.isolation.tenancy import Key, Tenancy

TENANT_ACCESS, TENANT_ONLY = "tenant_access", "tenant_only"
"""The permissive policy of a tenant table, and the restrictive one."""


def current_tenant_sql(tenancy: Tenancy) -> str:
    """Return the expression for the ID of the current tenant.

    An unset or empty setting is an error, and not an empty result: SET LOCAL leaves an empty text
    behind, which is no UUID and no number. For a text it is made to fail in the same way.
    """
    setting = f"current_setting('{tenancy.setting}')"
    if tenancy.key is Key.TEXT:
        return f"CASE {setting} WHEN '' THEN {setting}::uuid::text ELSE {setting} END"
    return f"{setting}::{tenancy.key}"


def tenant_condition(tenancy: Tenancy, column: str) -> str:
    """Return the condition of both policies' kind that a row is the current tenant's."""
    return f"{column} = {current_tenant_sql(tenancy)}"


def printed_conditions(tenancy: Tenancy, column: str) -> tuple[str, ...]:
    """Return how PostgreSQL prints that condition, for each type that the column may have."""
    setting = f"current_setting('{tenancy.setting}'::text)"
    if tenancy.key is not Key.TEXT:
        return (f"({column} = ({setting})::{tenancy.key})",)
    current = (
        f"\nCASE {setting}\n    WHEN ''::text THEN (({setting})::uuid)::text\n"
        f"    ELSE {setting}\nEND"
    )
    return f"({column} ={current})", f"(({column})::text ={current})"


def tenant_policies(tenancy: Tenancy, table: str, column: str) -> tuple[str, ...]:
    """Return the statements that show of a table only the current tenant's rows.

    Restrictive, because permissive policies are OR-ed: a careless one, added later, would open
    the table. ``table`` and ``column`` are names as SQL has them.
    """
    condition = tenant_condition(tenancy, column)
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {TENANT_ACCESS} ON {table} TO {tenancy.roles.app} USING (true)",
        f"CREATE POLICY {TENANT_ONLY} ON {table} AS RESTRICTIVE TO {tenancy.roles.app}\n"
        f"USING ({condition})\n"
        f"WITH CHECK ({condition})",
    )


def tenant_grants(tenancy: Tenancy, table: str, may_change: Iterable[str]) -> tuple[str, ...]:
    """Return what the application may do: all but move a row to another tenant, or rename it.

    ``may_change`` are the columns but for the primary key's and the tenant's.
    """
    return (
        f"GRANT SELECT, INSERT, DELETE ON {table} TO {tenancy.roles.app}",
        *_grant_update(tenancy, table, may_change),
        *(f"GRANT SELECT, INSERT, DELETE ON {table} TO {role}" for role in _seed(tenancy)),
    )


def tenants_table_extras(tenancy: Tenancy, may_change: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the isolation of the table of the tenants, for its class's ``extras``.

    The application reads the row of its own tenant and updates the columns in ``may_change``; leave
    out what is unique, for "already taken" tells of other tenants. It makes and deletes none.
    """
    table = tenancy.table
    return (
        *tenant_policies(tenancy, table, "id"),
        f"GRANT SELECT ON {table} TO {tenancy.roles.app}",
        *_grant_update(tenancy, table, may_change),
        *(f"GRANT SELECT, INSERT, DELETE ON {table} TO {role}" for role in _seed(tenancy)),
        *(sequence_grant(table, "id", (role,)) for role in _seed(tenancy)),
    )


def sequence_grant(table: str, column: str, roles: Iterable[str]) -> str:
    """Return the statement that lets roles insert rows whose column takes its number by default.

    USAGE only: with SELECT a tenant would read how far the sequence is, and with UPDATE set it
    back. Without a sequence of the column's own, and for an identity column, it does nothing.
    """
    return f"""\
DO $$
DECLARE
    numbers text := pg_get_serial_sequence({literal(table)}, {literal(column)});
BEGIN
    IF numbers IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO {", ".join(roles)}', numbers);
    END IF;
END
$$"""


def _grant_update(tenancy: Tenancy, table: str, columns: Iterable[str]) -> tuple[str, ...]:
    listed = ", ".join(quoted(name) for name in columns)
    return (f"GRANT UPDATE ({listed}) ON {table} TO {tenancy.roles.app}",) if listed else ()


def _seed(tenancy: Tenancy) -> tuple[str, ...]:
    return tenancy.roles.those_of("seed")
