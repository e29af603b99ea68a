"""A subdomain is a host label, in lower case: with any other, nobody reaches the organization."""

from piccolo.constraints import Check

from partman.migration import MigrationManager

ID = "2026-11-28T01:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "subdomains"

NAME = "organizations_subdomain_is_host_label"
IS_HOST_LABEL = "subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'"


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    manager.require_no_rows(
        "organizations.subdomain is a host label in lower case: letters, digits and inner hyphens, "
        "63 at most",
        f"SELECT id, name, subdomain FROM organizations WHERE NOT ({IS_HOST_LABEL})",
    )
    with manager.done_in_sql():
        manager.add_constraint(
            table_class_name="Organization",
            tablename="organizations",
            constraint_name=NAME,
            constraint_class=Check,
            params={"condition": IS_HOST_LABEL},
            schema=None,
        )
    manager.add_sql(
        forwards=f"ALTER TABLE organizations ADD CONSTRAINT {NAME} CHECK ({IS_HOST_LABEL}) NOT VALID",
        backwards=f"ALTER TABLE organizations DROP CONSTRAINT {NAME}",
    )
    manager.add_sql(
        forwards=f"ALTER TABLE organizations VALIDATE CONSTRAINT {NAME}", backwards=None
    )
    return manager
