"""The permissive policies compare the tenant, as the restrictive ones do.

An engine that loses the word RESTRICTIVE, as Citus does, would otherwise open every table. ALTER
POLICY reads no row; it locks the table for a moment, so each table has a transaction of its own.
"""

from partman.migration import MigrationManager

ID = "2026-11-28T01:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "tenant access"

TENANT_COLUMN = {
    "organizations": "id",
    "users": "organization_id",
    "partners": "organization_id",
    "opportunities": "organization_id",
    "quarterly_goals": "organization_id",
    "alerts": "organization_id",
}


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    for table, column in TENANT_COLUMN.items():
        is_the_tenants = f"{column} = current_setting('partman.organization_id')::uuid"
        manager.add_sql(
            forwards=f"ALTER POLICY tenant_access ON {table} USING ({is_the_tenants})",
            backwards=f"ALTER POLICY tenant_access ON {table} USING (true)",
        )
    return manager
