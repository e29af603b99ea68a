"""Row level security: on, forced, and with the two policies that isolate a tenant."""

from partman.audit.rule import Rule

# A policy is not simply dropped and made again: between the two, the table would be open.
_REPLACED = """
    CASE WHEN EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid AND polname = policy)
         THEN format(E'ALTER POLICY %I ON %s RENAME TO %I;\\n', policy, t.name, policy || '_old')
         ELSE '' END
    || format(E'CREATE POLICY %I ON %s AS %s;', policy, t.name, definition)
    || CASE WHEN EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid AND polname = policy)
            THEN format(E'\\nDROP POLICY %I ON %s;', policy || '_old', t.name)
            ELSE '' END
"""

ROW_LEVEL_SECURITY = Rule(
    "row-level-security",
    "Without row level security a policy is only text. Without FORCE it does not apply to the "
    "table's owner, and so not to what runs with the owner's rights.",
    """
    SELECT name AS object,
           CASE WHEN relrowsecurity THEN 'Row level security is not forced.'
                ELSE 'Row level security is off.' END AS reason,
           format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;', name)
               AS remedy
    FROM guarded
    WHERE NOT (relrowsecurity AND relforcerowsecurity)
    """,
)

TENANT_POLICY = Rule(
    "tenant-policy",
    "Permissive policies are OR-ed, so only a RESTRICTIVE one keeps a careless policy from "
    "opening the table. It compares the tenant and nothing else: an unset tenant is an error.",
    f"""
    SELECT t.name AS object,
           format('No RESTRICTIVE policy FOR ALL TO partman_app says %s.', tenant_only) AS reason,
           {_REPLACED} AS remedy
    FROM guarded t
    CROSS JOIN LATERAL (
        SELECT format(
            '(%I = (current_setting(''partman.organization_id''::text))::uuid)', t.key
        ) AS printed,
        format('%I = current_setting(''partman.organization_id'')::uuid', t.key) AS tenant_only,
        'tenant_only' AS policy
    ) AS wanted
    CROSS JOIN LATERAL (
        SELECT format(
            E'RESTRICTIVE FOR ALL TO partman_app\\n  USING (%1$s)\\n  WITH CHECK (%1$s)',
            tenant_only
        ) AS definition
    ) AS written
    WHERE NOT EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = t.oid AND NOT p.polpermissive AND p.polcmd = '*'
            AND p.polroles = ARRAY['partman_app'::regrole::oid]
            AND pg_get_expr(p.polqual, p.polrelid) = printed
            -- Without a WITH CHECK, PostgreSQL takes USING for it.
            AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), printed) = printed
    )
    """,
)

ACCESS_POLICY = Rule(
    "access-policy",
    "A RESTRICTIVE policy only takes away. Without a permissive one FOR ALL the application "
    "reads no rows or writes none, which looks like missing data.",
    f"""
    SELECT t.name AS object,
           'No permissive policy FOR ALL applies to partman_app.' AS reason,
           {_REPLACED} AS remedy
    FROM guarded t
    CROSS JOIN (
        SELECT 'tenant_access' AS policy,
               'PERMISSIVE FOR ALL TO partman_app USING (true)' AS definition
    ) AS wanted
    WHERE NOT EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = t.oid AND p.polpermissive AND p.polcmd = '*'
            AND p.polroles && ARRAY['partman_app'::regrole::oid, 0::oid]
    )
    """,
)

POLICY_ROLES = Rule(
    "policy-roles",
    "The RESTRICTIVE policy binds partman_app. A permissive one for PUBLIC, or for a login that "
    "may become partman_app, opens the table to roles that nothing restricts.",
    """
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           format('A permissive policy applies to %s.', (
               SELECT string_agg(coalesce(rolname, 'PUBLIC'), ', ' ORDER BY rolname)
               FROM unnest(p.polroles) AS to_role
               LEFT JOIN pg_roles ON pg_roles.oid = to_role
               WHERE to_role = 0 OR rolname IN ('partman_api', 'partman_console')
           )) AS reason,
           format('ALTER POLICY %I ON %s TO partman_app;', p.polname, t.name) AS remedy
    FROM guarded t
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE p.polpermissive AND p.polroles && ARRAY(
        SELECT 0::oid
        UNION ALL
        SELECT oid FROM pg_roles WHERE rolname IN ('partman_api', 'partman_console')
    )
    """,
)

LOOKUP_POLICY = Rule(
    "lookup-policy",
    "partman_auth looks organizations up before a tenant is known, so nothing restricts it: it "
    "may see active organizations, and no other row of any table.",
    """
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           'A policy lets partman_auth see more than active organizations.' AS reason,
           CASE WHEN t.relname = 'organizations' AND p.polname = 'auth_lookup'
                THEN format(
                    E'DROP POLICY auth_lookup ON %1$s;\\nCREATE POLICY auth_lookup ON %1$s '
                    'FOR SELECT TO partman_auth USING (is_active);', t.name)
                ELSE format('ALTER POLICY %I ON %s TO partman_app;', p.polname, t.name)
           END AS remedy
    FROM guarded t
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE p.polpermissive AND 'partman_auth'::regrole::oid = ANY (p.polroles)
        AND NOT (
            t.relname = 'organizations' AND p.polcmd = 'r'
            AND pg_get_expr(p.polqual, p.polrelid) = 'is_active'
            AND p.polroles = ARRAY['partman_auth'::regrole::oid]
        )
    """,
)

PARTITION = Rule(
    "partition",
    "Who names a partition, or a table that inherits, is not under the policies of its parent.",
    """
    SELECT name AS object,
           'It holds rows of a tenant table, has no row level security of its own, and can be '
               'reached directly.' AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, partman_app, partman_api;', name) AS remedy
    FROM tenant
    WHERE is_child AND is_reachable AND NOT relrowsecurity
    """,
)

RULES = (ROW_LEVEL_SECURITY, TENANT_POLICY, ACCESS_POLICY, POLICY_ROLES, LOOKUP_POLICY, PARTITION)
