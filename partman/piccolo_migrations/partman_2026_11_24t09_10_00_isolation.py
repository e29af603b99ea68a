"""Roles, rights and policies: outside of tenant() nothing is allowed, inside only its rows.

The roles are the cluster's, and other databases of it may have them already, or make them at the
same moment. Login and passwords are a matter for the deployment. Going back takes the rights
away, and drops a role only if nothing and nobody needs it any more.
"""

from partman.migration import MigrationManager

ID = "2026-11-24T09:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "isolation"

ROLES = """
-- the roles, where they are missing
DO $$
DECLARE
    needed text[] := '{}';
    statement text;
    -- From PostgreSQL 16 on, to become a role and to have its rights are two things.
    newer boolean := current_setting('server_version_num')::int >= 160000;
    member_of record;
BEGIN
    SELECT array_agg(format('CREATE ROLE %I NOLOGIN NOINHERIT', role)) INTO needed
    FROM unnest('{partman_app, partman_api, partman_auth, partman_seed}'::text[]) AS role
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role);

    FOR member_of IN
        SELECT role, member, inherits FROM (VALUES
            ('partman_app', current_user, false), ('partman_auth', current_user, true),
            ('partman_app', 'partman_api', false)
        ) AS membership (role, member, inherits)
    LOOP
        -- Of a role that is not there yet, nobody is a member.
        CONTINUE WHEN (
            SELECT count(*) FROM pg_roles WHERE rolname IN (member_of.role, member_of.member)
        ) = 2 AND CASE WHEN newer
            THEN pg_has_role(member_of.member::name, member_of.role, 'SET') AND (
                NOT member_of.inherits
                OR pg_has_role(member_of.member::name, member_of.role, 'USAGE')
            )
            ELSE pg_has_role(member_of.member::name, member_of.role, 'MEMBER')
        END;
        needed := needed || (
            format('GRANT %I TO %I', member_of.role, member_of.member) || CASE WHEN newer
                THEN format(' WITH INHERIT %s, SET TRUE', upper(member_of.inherits::text))
                ELSE ''
            END
        );
    END LOOP;

    needed := needed || ARRAY(
        SELECT format('ALTER DATABASE %I OWNER TO %I', datname, current_user) FROM pg_database
        WHERE datname = current_database() AND NOT pg_has_role(datdba, 'USAGE')
    ) || ARRAY(
        SELECT 'ALTER SCHEMA public OWNER TO pg_database_owner' FROM pg_namespace
        WHERE nspname = 'public' AND NOT pg_has_role(nspowner, 'USAGE')
    );

    FOREACH statement IN ARRAY coalesce(needed, '{}') LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not do what the tenant isolation needs', current_user
                USING ERRCODE = 'insufficient_privilege',
                    HINT = 'An administrator runs, in this database: '
                        || array_to_string(needed, '; ') || '. Then run again';
        END;
    END LOOP;
    -- In one step: a role that has rights here is not dropped by a run on another database.
    GRANT USAGE ON SCHEMA public TO partman_app, partman_api, partman_auth, partman_seed;
EXCEPTION
    WHEN duplicate_object OR unique_violation OR undefined_object THEN
        -- A run on another database of the cluster made one, or dropped one, just now, and what is
        -- needed is something else than a moment ago. The step is tried again, as for a lock.
        RAISE EXCEPTION 'another run is at work on the roles'
        USING ERRCODE = 'lock_not_available';
END
$$
"""

DROP_ROLES = """
-- the roles, where nobody needs them
DO $$
DECLARE
    role name;
BEGIN
    FOREACH role IN ARRAY '{partman_api, partman_auth, partman_seed, partman_app}'::name[] LOOP
        -- Who may log in as it, or act as it, would lose that without a word.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_roles r WHERE rolname = role AND (rolcanlogin OR EXISTS (
                SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member
                WHERE roleid = r.oid AND m.rolname <> current_user
            ))
        );
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN dependent_objects_still_exist OR undefined_object OR insufficient_privilege
                OR internal_error THEN
                NULL;  -- another database needs it, or has just dropped it
        END;
    END LOOP;
END
$$
"""

TAKE_FROM_PUBLIC = """
-- the rights of PUBLIC
DO $$
BEGIN
    -- A temporary table can stand in for a real one, on a connection that others use next.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    -- An expression that somebody injects could choose its tenant. The function is a superuser's;
    -- where one has set the database up, its owner may pass on what it kept.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
    END IF;
    IF has_function_privilege(
        'pg_catalog.set_config(text, text, boolean)', 'EXECUTE WITH GRANT OPTION'
    ) THEN
        GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO partman_api, partman_seed;
    END IF;
END
$$
"""

GIVE_TO_PUBLIC = """
-- the rights of PUBLIC
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC;
    END IF;
    IF has_function_privilege(
        'pg_catalog.set_config(text, text, boolean)', 'EXECUTE WITH GRANT OPTION'
    ) THEN
        REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)
            FROM partman_api, partman_seed;
    END IF;
END
$$
"""

LOOKUP = """
CREATE FUNCTION organization_for_subdomain(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id FROM public.organizations WHERE subdomain = wanted AND is_active
$$
"""

# What the application may change. The rest of organizations is the operator's; a subdomain that
# is already taken would tell it of other organizations.
MAY_CHANGE = {
    "organizations": "name, settings, updated_at",
    "users": (
        "email, password_hash, first_name, last_name, role, permissions, personal_settings,"
        " last_login_at, is_active, created_at, updated_at"
    ),
    "partners": (
        "name, domain, website, commission_structure, relationship_health, primary_contact,"
        " agreement_details, status, created_at, updated_at"
    ),
    "opportunities": (
        "partner_id, assigned_user_id, customer_name, customer_contact, deal_value, currency,"
        " stage, probability, expected_close_date, actual_close_date, commission_details, notes,"
        " attachments, status, created_at, updated_at"
    ),
    "quarterly_goals": (
        "user_id, quarter, year, goal_type, target_value, current_value, currency, status,"
        " created_at, updated_at"
    ),
    "alerts": (
        "user_id, alert_type, entity_type, entity_id, title, message, priority, status,"
        " triggered_at, acknowledged_at, resolved_at"
    ),
}


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()

    manager.add_sql(forwards=None, backwards=DROP_ROLES)
    manager.add_sql(
        forwards=ROLES,
        backwards=(
            "REVOKE ALL ON SCHEMA public FROM partman_app, partman_api, partman_auth, partman_seed"
        ),
    )
    for table, columns in MAY_CHANGE.items():
        _isolate(manager, table, columns)
    manager.add_sql(
        forwards=[
            "GRANT SELECT (id, subdomain, is_active) ON organizations TO partman_auth",
            """
            CREATE POLICY auth_lookup ON organizations FOR SELECT TO partman_auth
            USING (is_active)
            """,
            LOOKUP,
            # While it is still ours: of another owner's function a REVOKE takes nothing away,
            # and only warns.
            "REVOKE EXECUTE ON FUNCTION organization_for_subdomain(text) FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION organization_for_subdomain(text) TO partman_api",
            # Only who may create in a schema can own a function there.
            "GRANT CREATE ON SCHEMA public TO partman_auth",
            "ALTER FUNCTION organization_for_subdomain(text) OWNER TO partman_auth",
            "REVOKE CREATE ON SCHEMA public FROM partman_auth",
        ],
        backwards=[
            "DROP FUNCTION organization_for_subdomain(text)",
            "DROP POLICY auth_lookup ON organizations",
            "REVOKE SELECT (id, subdomain, is_active) ON organizations FROM partman_auth",
        ],
    )
    # Nothing is seeded while a migration is pending.
    manager.add_sql(
        forwards="GRANT SELECT ON migration TO partman_seed",
        backwards="REVOKE SELECT ON migration FROM partman_seed",
    )
    manager.add_sql(forwards=TAKE_FROM_PUBLIC, backwards=GIVE_TO_PUBLIC)
    return manager


def _isolate(manager, table, columns):
    key = "id" if table == "organizations" else "organization_id"
    to_app = "SELECT" if table == "organizations" else "SELECT, INSERT, DELETE"
    is_the_tenants = f"{key} = current_setting('partman.organization_id')::uuid"
    manager.add_sql(
        forwards=[
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_access ON {table} TO partman_app USING (true)",
            f"""
            CREATE POLICY tenant_only ON {table} AS RESTRICTIVE TO partman_app
            USING ({is_the_tenants})
            WITH CHECK ({is_the_tenants})
            """,
            f"GRANT {to_app}, UPDATE ({columns}) ON {table} TO partman_app",
            f"GRANT SELECT, INSERT, DELETE ON {table} TO partman_seed",
        ],
        backwards=[
            f"REVOKE ALL ON {table} FROM partman_app, partman_seed",
            f"DROP POLICY tenant_only ON {table}",
            f"DROP POLICY tenant_access ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        ],
    )
