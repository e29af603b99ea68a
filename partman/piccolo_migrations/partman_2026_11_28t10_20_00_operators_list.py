"""An operator of the platform finds an organization by its name, and not only by its subdomain.

The console's login may read no row of organizations before one is chosen. It may call this function,
which reads the names of the active ones with the privileges of partman_auth.
"""

from partman.migration import MigrationManager

ID = "2026-11-28T10:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "operators' list"

NAMES = "active_organizations(text, int, int)"

LIST = """
CREATE FUNCTION active_organizations(searched text, most int, skipped int)
RETURNS TABLE (id uuid, name text, subdomain text, found bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id, name, subdomain, count(*) OVER () FROM public.organizations
    WHERE is_active AND (
        position(lower(searched) IN lower(name)) > 0 OR position(lower(searched) IN subdomain) > 0
    )
    ORDER BY NOT starts_with(lower(name), lower(searched)), lower(name), id
    LIMIT most OFFSET skipped
$$
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    manager.add_sql(
        forwards=[
            "GRANT SELECT (name) ON organizations TO partman_auth",
            LIST,
            # While it is still ours: of another owner's function a REVOKE takes nothing away,
            # and only warns.
            f"REVOKE EXECUTE ON FUNCTION {NAMES} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {NAMES} TO partman_console",
            # Only who may create in a schema can own a function there.
            "GRANT CREATE ON SCHEMA public TO partman_auth",
            f"ALTER FUNCTION {NAMES} OWNER TO partman_auth",
            "REVOKE CREATE ON SCHEMA public FROM partman_auth",
        ],
        backwards=[
            f"DROP FUNCTION {NAMES}",
            "REVOKE SELECT (name) ON organizations FROM partman_auth",
        ],
    )
    return manager
