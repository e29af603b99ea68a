"""The roles that work on whole organizations: the operator, and the reader of reports.

The operator creates, deactivates, deletes, exports and imports organizations; of their rows it reaches
those of one organization at a time. The reports' role reads some columns of all rows, without personal
data, through views. partman_api may become either, and inherits nothing of them.

As with the other roles, other databases of the cluster may have them already. docker/roles.sql has to
set them NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB, and to grant them to
partman_api and partman_owner (WITH INHERIT FALSE, SET TRUE).
"""

from partman.migration import MigrationManager

ID = "2026-11-28T01:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "operator and reports"

ROLES = """
-- the roles partman_operator and partman_reports, where they are missing
DO $$
DECLARE
    needed text[];
    statement text;
    -- From PostgreSQL 16 on, to become a role and to have its rights are two things.
    newer boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    needed := ARRAY(
        SELECT format('CREATE ROLE %I NOLOGIN NOINHERIT', role)
        FROM unnest('{partman_operator, partman_reports}'::text[]) AS role
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
    ) || ARRAY(
        SELECT format('GRANT %I TO %I', role, member)
            || CASE WHEN newer THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END
        FROM unnest('{partman_operator, partman_reports}'::name[]) AS role
        CROSS JOIN unnest(ARRAY[current_user, 'partman_api']::name[]) AS member
        -- Of a role that is not there yet, nobody is a member.
        WHERE CASE WHEN (SELECT count(*) FROM pg_roles WHERE rolname IN (role, member)) = 2
            THEN NOT pg_has_role(member, role, CASE WHEN newer THEN 'SET' ELSE 'MEMBER' END)
            ELSE true
        END
    );

    FOREACH statement IN ARRAY needed LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not do what the operator needs', current_user
                USING ERRCODE = 'insufficient_privilege',
                    HINT = 'An administrator runs, in this database: '
                        || array_to_string(needed, '; ') || '. Then run again';
        END;
    END LOOP;
    -- In one step: a role that has rights here is not dropped by a run on another database.
    GRANT USAGE ON SCHEMA public TO partman_operator, partman_reports;
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
-- the roles partman_operator and partman_reports, where nobody needs them
DO $$
DECLARE
    role name;
    ours oid;
BEGIN
    FOREACH role IN ARRAY '{partman_operator, partman_reports}'::name[] LOOP
        -- Who may log in as it, or act as it, would lose that without a word. partman_api may act as
        -- it since this migration, and can do nothing more as it once no database grants it anything.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_roles r WHERE rolname = role AND (rolcanlogin OR EXISTS (
                SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member
                WHERE roleid = r.oid AND m.rolname NOT IN (current_user, 'partman_api')
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

OF_A_TENANT = ("users", "partners", "opportunities", "quarterly_goals", "alerts")

REPORTED = {
    "organizations": "id, subdomain, is_active, subscription_tier, created_at",
    "users": "organization_id, is_active",
    "partners": "organization_id",
    "opportunities": "organization_id, currency, stage, status, deal_value",
}

REPORT_ORGANIZATIONS = """
CREATE VIEW report_organizations WITH (security_invoker = true) AS
SELECT o.id AS organization_id, o.subdomain, o.is_active, o.subscription_tier, o.created_at,
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id) AS users,
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id AND u.is_active) AS active_users,
    (SELECT count(*) FROM partners p WHERE p.organization_id = o.id) AS partners,
    (SELECT count(*) FROM opportunities d WHERE d.organization_id = o.id) AS opportunities
FROM organizations o
"""

REPORT_PIPELINE = """
CREATE VIEW report_pipeline WITH (security_invoker = true) AS
SELECT organization_id, currency, stage, status, count(*) AS opportunities,
    sum(deal_value) AS deal_value
FROM opportunities
GROUP BY organization_id, currency, stage, status
"""

COMMENTS = {
    "report_organizations": (
        "For each organization: its state, and the number of its users, partners and "
        "opportunities. No personal data."
    ),
    "report_pipeline": (
        "For each organization, currency, stage and status: the number of opportunities and the "
        "sum of their values."
    ),
}


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    manager.add_sql(forwards=None, backwards=DROP_ROLES)
    manager.add_sql(
        forwards=ROLES,
        backwards="REVOKE ALL ON SCHEMA public FROM partman_operator, partman_reports",
    )
    _let_operate(manager)
    _let_report(manager)
    return manager


def _let_operate(manager):
    manager.add_sql(
        forwards=[
            "GRANT SELECT, INSERT, DELETE, UPDATE (is_active) ON organizations TO partman_operator",
            "CREATE POLICY operator_access ON organizations TO partman_operator USING (true)",
        ],
        backwards=[
            "DROP POLICY operator_access ON organizations",
            "REVOKE ALL ON organizations FROM partman_operator",
            "REVOKE UPDATE (is_active) ON organizations FROM partman_operator",
        ],
    )
    is_the_tenants = "organization_id = current_setting('partman.organization_id')::uuid"
    for table in OF_A_TENANT:
        manager.add_sql(
            forwards=[
                f"GRANT SELECT, INSERT ON {table} TO partman_operator",
                f"CREATE POLICY operator_access ON {table} TO partman_operator"
                f" USING ({is_the_tenants})",
            ],
            backwards=[
                f"DROP POLICY operator_access ON {table}",
                f"REVOKE ALL ON {table} FROM partman_operator",
            ],
        )
    # Counted before an organization is deleted, which deletes them too.
    manager.add_sql(
        forwards="GRANT SELECT (organization_id) ON console_accounts TO partman_operator",
        backwards="REVOKE SELECT (organization_id) ON console_accounts FROM partman_operator",
    )
    # An export names the version of the schema.
    manager.add_sql(
        forwards="GRANT SELECT ON migration TO partman_operator",
        backwards="REVOKE SELECT ON migration FROM partman_operator",
    )


def _let_report(manager):
    for table, columns in REPORTED.items():
        manager.add_sql(
            forwards=[
                f"GRANT SELECT ({columns}) ON {table} TO partman_reports",
                f"CREATE POLICY reports_access ON {table} FOR SELECT TO partman_reports USING (true)",
            ],
            backwards=[
                f"DROP POLICY reports_access ON {table}",
                f"REVOKE SELECT ({columns}) ON {table} FROM partman_reports",
            ],
        )
    manager.add_sql(
        forwards=[
            REPORT_ORGANIZATIONS,
            REPORT_PIPELINE,
            *(f"COMMENT ON VIEW {view} IS '{comment}'" for view, comment in COMMENTS.items()),
            "GRANT SELECT ON report_organizations, report_pipeline TO partman_reports",
        ],
        backwards=["DROP VIEW report_pipeline", "DROP VIEW report_organizations"],
    )
