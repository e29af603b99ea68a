"""SQL that separates the tenants' rows, the same for every tenant table."""

from collections.abc import Iterable

from partman.grammar.names import literal, quoted
from partman.isolation.tenancy import Key, Tenancy

TENANT_ACCESS, TENANT_ONLY = "tenant_access", "tenant_only"
"""The permissive policy of a tenant table, and the restrictive one."""
OPERATOR_ACCESS, REPORTS_ACCESS = "operator_access", "reports_access"
"""The policies of the roles that work outside of ``tenant()``."""


def current_tenant_sql(tenancy: Tenancy) -> str:
    """Return the expression for the ID of the current tenant.

    An unset or empty setting raises an error instead of returning no rows: SET LOCAL leaves an
    empty text behind, which is no valid UUID or number. For a text key, the expression makes it
    fail in the same way.
    """
    setting = f"current_setting('{tenancy.setting}')"
    if tenancy.key is Key.TEXT:
        return f"CASE {setting} WHEN '' THEN {setting}::uuid::text ELSE {setting} END"
    return f"{setting}::{tenancy.key}"


def tenant_condition(tenancy: Tenancy, column: str) -> str:
    """Return the condition that a row belongs to the current tenant."""
    return f"{column} = {current_tenant_sql(tenancy)}"


def printed_conditions(tenancy: Tenancy, column: str) -> tuple[str, ...]:
    """Return the forms in which PostgreSQL prints that condition, for each type of the column."""
    setting = f"current_setting('{tenancy.setting}'::text)"
    if tenancy.key is not Key.TEXT:
        return (f"({column} = ({setting})::{tenancy.key})",)
    current = (
        f"\nCASE {setting}\n    WHEN ''::text THEN (({setting})::uuid)::text\n"
        f"    ELSE {setting}\nEND"
    )
    return f"({column} ={current})", f"(({column})::text ={current})"


def tenant_policies(tenancy: Tenancy, table: str, column: str) -> tuple[str, ...]:
    """Return the statements that show only the current tenant's rows of a table.

    The second policy is restrictive, because permissive policies are OR-ed: another one added later
    by mistake would open the table. The permissive one has the condition too, for engines that lose
    the word RESTRICTIVE, as Citus does. ``table`` and ``column`` are quoted names.
    """
    condition = tenant_condition(tenancy, column)
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {TENANT_ACCESS} ON {table} TO {tenancy.roles.app}\nUSING ({condition})",
        f"CREATE POLICY {TENANT_ONLY} ON {table} AS RESTRICTIVE TO {tenancy.roles.app}\n"
        f"USING ({condition})\n"
        f"WITH CHECK ({condition})",
    )


def tenant_grants(tenancy: Tenancy, table: str, may_change: Iterable[str]) -> tuple[str, ...]:
    """Return the application's grants: everything except changing a row's tenant or its ID.

    ``may_change`` are the columns without those of the primary key and the tenant.
    """
    return (
        f"GRANT SELECT, INSERT, DELETE ON {table} TO {tenancy.roles.app}",
        *_grant_update(tenancy, table, may_change),
        *(f"GRANT SELECT, INSERT, DELETE ON {table} TO {role}" for role in _seed(tenancy)),
        *(f"GRANT SELECT, INSERT ON {table} TO {role}" for role in _operator(tenancy)),
    )


def operator_policy(tenancy: Tenancy, table: str, column: str) -> tuple[str, ...]:
    """Return the policy of the operator on a tenant table: one tenant's rows at a time.

    It counts, exports, imports, and inserts the first rows of a new tenant. When it deletes a
    tenant, the foreign keys delete the rows, as the owner of the tables.
    """
    return tuple(
        f"CREATE POLICY {OPERATOR_ACCESS} ON {table} TO {role}\n"
        f"USING ({tenant_condition(tenancy, column)})"
        for role in _operator(tenancy)
    )


def reports_extras(tenancy: Tenancy, table: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return what lets the reports' role read some columns of all rows of a table.

    For the ``extras`` of a table class. Leave out personal data: a report counts and sums.
    """
    listed = ", ".join(quoted(name) for name in columns)
    [role] = tenancy.roles.those_of("reports")
    return (
        f"GRANT SELECT ({listed}) ON {table} TO {role}",
        f"CREATE POLICY {REPORTS_ACCESS} ON {table} FOR SELECT TO {role} USING (true)",
    )


def tenants_table_extras(
    tenancy: Tenancy, may_change: Iterable[str] = (), operator_may_change: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the isolation of the table of the tenants, for its class's ``extras``.

    The application reads the row of its own tenant and updates the columns in ``may_change``; leave
    out unique columns, because "already taken" reveals other tenants. It inserts and deletes no
    rows. The operator does, and updates the columns in ``operator_may_change``.
    """
    operator_columns = ", ".join(quoted(name) for name in operator_may_change)
    table = tenancy.table
    return (
        *tenant_policies(tenancy, table, "id"),
        f"GRANT SELECT ON {table} TO {tenancy.roles.app}",
        *_grant_update(tenancy, table, may_change),
        *(f"GRANT SELECT, INSERT, DELETE ON {table} TO {role}" for role in _seed(tenancy)),
        *(sequence_grant(table, "id", (role,)) for role in _seed(tenancy)),
        *(
            statement
            for role in _operator(tenancy)
            for statement in (
                f"GRANT SELECT, INSERT, DELETE ON {table} TO {role}",
                *(
                    [f"GRANT UPDATE ({operator_columns}) ON {table} TO {role}"]
                    if operator_columns
                    else []
                ),
                f"CREATE POLICY {OPERATOR_ACCESS} ON {table} TO {role} USING (true)",
                sequence_grant(table, "id", (role,)),
            )
        ),
    )


def sequence_grant(table: str, column: str, roles: Iterable[str]) -> str:
    """Return the statement that lets roles insert rows whose column gets its number by default.

    It grants only USAGE: SELECT would show how far the sequence is, and UPDATE could reset it.
    Without an own sequence, and for an identity column, the statement does nothing.
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


def _operator(tenancy: Tenancy) -> tuple[str, ...]:
    return tenancy.roles.those_of("operator")
