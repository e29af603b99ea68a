"""What the tables share, as SQL: functions, and rights on the whole database."""

from partman.tables.isolation import API, APP, AUTH, CONSOLE, SEED

_SET_UPDATED_AT = """\
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$"""

_ORGANIZATION_FOR_SUBDOMAIN = """\
CREATE FUNCTION organization_for_subdomain(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id FROM public.organizations WHERE subdomain = wanted AND is_active
$$"""

DATABASE_EXTRAS: tuple[str, ...] = (
    # A temporary table can stand in for a real one, on a connection that others use next.
    "DO $$ BEGIN EXECUTE format("
    "'REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    f"GRANT USAGE ON SCHEMA public TO {APP}, {API}, {AUTH}, {SEED}, {CONSOLE}",
    _SET_UPDATED_AT,
    "REVOKE EXECUTE ON FUNCTION set_updated_at() FROM PUBLIC",
    _ORGANIZATION_FOR_SUBDOMAIN,
    # While it is still ours: of another owner's function a REVOKE takes nothing away, and only
    # warns.
    "REVOKE EXECUTE ON FUNCTION organization_for_subdomain(text) FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION organization_for_subdomain(text) TO {API}, {CONSOLE}",
    # Only who may create in a schema can own a function there.
    f"GRANT CREATE ON SCHEMA public TO {AUTH}",
    f"ALTER FUNCTION organization_for_subdomain(text) OWNER TO {AUTH}",
    f"REVOKE CREATE ON SCHEMA public FROM {AUTH}",
)
"""To be run after the tables are there, and before their own extras."""
