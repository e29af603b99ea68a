"""What keeps an organization's rows to itself, as SQL: the same for every tenant table."""

from collections.abc import Iterable, Sequence

APP = "partman_app"
"""What the application's statements run as, inside of ``tenant()``."""
API = "partman_api"
"""What the application logs in as. By itself it may do nothing."""
AUTH = "partman_auth"
"""Owns the one function that finds an organization before a tenant is known."""
SEED = "partman_seed"
"""What the development data is loaded as."""
CONSOLE = "partman_console"
"""What the console works as: its own tables by itself, an organization's inside of ``tenant()``."""

SETTING = "partman.organization_id"
"""Whose rows there are; set for one transaction."""


def tenant_policies(table: str, column: str) -> tuple[str, ...]:
    """Return the statements that show of a table only the tenant's rows.

    Restrictive, because permissive policies are OR-ed: a careless one, added later, would open
    the table. An unset or empty setting is an error, and not an empty result.
    """
    is_the_tenants = f"{column} = current_setting('{SETTING}')::uuid"
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant_access ON {table} TO {APP} USING (true)",
        f"CREATE POLICY tenant_only ON {table} AS RESTRICTIVE TO {APP}\n"
        f"USING ({is_the_tenants})\n"
        f"WITH CHECK ({is_the_tenants})",
    )


def tenant_grants(table: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return what the application may do: everything, but move a row to another organization."""
    may_change = ", ".join(name for name in columns if name not in {"id", "organization_id"})
    return (
        f"GRANT SELECT, INSERT, DELETE ON {table} TO {APP}",
        f"GRANT UPDATE ({may_change}) ON {table} TO {APP}",
        f"GRANT SELECT, INSERT, DELETE ON {table} TO {SEED}",
    )


def keeps_updated_at(table: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the trigger that keeps ``updated_at``, for a table that has it."""
    if "updated_at" not in columns:
        return ()
    return (
        f"CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table}\n"
        "FOR EACH ROW EXECUTE FUNCTION set_updated_at()",
    )
