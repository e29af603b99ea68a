"""Rules of ``partman check`` for this app, in addition to those of every tenancy.

Only the console's role uses the console's accounts, and by itself it cannot read a tenant's rows.
The lookup before a tenant is known returns only active organizations, and their names to the
console alone.
"""

from partman.audit.functions import as_its_owner
from partman.audit.rule import Rule

# The console's tables and their sequences.
_OURS = """
    SELECT oid FROM relation
    WHERE relkind IN ('r', 'p') AND relname IN ('console_accounts', 'console_sessions')
    UNION ALL
    SELECT numbering.oid FROM numbering
    JOIN relation ON relation.oid = of_table
    WHERE relname IN ('console_accounts', 'console_sessions')
"""

CONSOLE_TABLES = Rule(
    "console-tables",
    "Reading an account reveals its password's hash, changing one allows to sign in as anybody, "
    "and no policy protects these tables: only partman_console and their owner have privileges "
    "on them.",
    f"""
    SELECT r.name AS object,
           format('%s may %s.', grantee.name, string_agg(DISTINCT privilege_type, ', ')) AS reason,
           format('REVOKE ALL ON %s %s FROM %s;',
                  CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, r.name, grantee.name)
               AS remedy
    FROM relation r
    CROSS JOIN LATERAL (
        SELECT NULL AS attribute, relacl AS acl FROM pg_class WHERE oid = r.oid
        UNION ALL
        SELECT attname, attacl FROM pg_attribute WHERE attrelid = r.oid
    ) AS said
    CROSS JOIN LATERAL aclexplode(acl) AS given
    CROSS JOIN LATERAL (
        SELECT CASE given.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(given.grantee)) END AS name
    ) AS grantee
    WHERE r.oid IN ({_OURS})
        AND given.grantee <> r.relowner AND grantee.name <> 'partman_console'
        -- Theirs are gaps of the rules for all tables and sequences.
        AND grantee.name NOT IN ('PUBLIC', 'partman_app', 'partman_api')
        -- It counts an organization's accounts before it deletes them.
        AND NOT (
            grantee.name = 'partman_operator' AND privilege_type = 'SELECT'
            AND said.attribute = 'organization_id'
        )
    GROUP BY r.name, r.relkind, grantee.name
    """,
)

CONSOLE_RIGHTS = Rule(
    "console-rights",
    "The console is a web application. It creates and ends sessions, and reads what the "
    "migrations did; it creates no accounts, and has no privileges on other tables.",
    f"""
    SELECT r.name AS object,
           format('partman_console may %s.', string_agg(excess.what, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM partman_console;',
                  string_agg(excess.privilege, ', '), r.name)
               || CASE WHEN r.oid IN ({_OURS})
                           AND bool_or(excess.privilege = 'UPDATE')
                  THEN format(E'\\nGRANT UPDATE (password, last_login) ON TABLE %s '
                              'TO partman_console;', r.name)
                  ELSE '' END AS remedy
    FROM relation r
    JOIN (
        SELECT oid, privilege, privilege AS what FROM effective
        WHERE role = 'partman_console'
            AND (oid, privilege) NOT IN (SELECT oid, privilege FROM effective WHERE role = 'public')
        UNION ALL
        SELECT attrelid, 'UPDATE', format('UPDATE %s', string_agg(quote_ident(attname), ', '))
        FROM relation
        JOIN actor ON actor.role = 'partman_console'
        JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
        WHERE relation.oid IN ({_OURS}) AND relname = 'console_accounts'
            AND attname NOT IN ('password', 'last_login')
            AND has_column_privilege(actor.role, attrelid, attnum, 'UPDATE')
            AND NOT has_column_privilege('public', attrelid, attnum, 'UPDATE')
        GROUP BY attrelid
    ) AS excess ON excess.oid = r.oid
    WHERE r.oid NOT IN (SELECT oid FROM tenant) AND NOT (
        r.oid IN ({_OURS}) AND (
            r.relname = 'console_accounts' AND excess.what IN ('SELECT', 'UPDATE')
            OR r.relname = 'console_sessions'
            AND excess.what IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
        )
        OR r.relname IN ('migration', 'migration_history', 'migration_step')
        AND excess.what = 'SELECT'
    )
    GROUP BY r.name, r.oid
    """,
)

ORGANIZATION_UPDATE = Rule(
    "organization-update",
    "The application changes an organization's name and settings. Only the operator changes its "
    "activation, its subscription and its number of users.",
    """
    SELECT r.name AS object,
           format('partman_app may UPDATE %s.', string_agg(c.name, ', ')) AS reason,
           format(E'REVOKE UPDATE ON TABLE %1$s FROM PUBLIC, partman_app;\\n'
                  'GRANT UPDATE (name, settings, updated_at) ON TABLE %1$s TO partman_app;',
                  r.name) AS remedy
    FROM relation r
    JOIN actor ON actor.role = 'partman_app'
    CROSS JOIN LATERAL (
        SELECT quote_ident(attname) AS name FROM pg_attribute
        WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped
            -- The rule app-update is about these.
            AND attname NOT IN ('name', 'settings', 'updated_at', 'id', 'subdomain')
            AND has_column_privilege(actor.role, r.oid, attnum, 'UPDATE')
        ORDER BY attnum
    ) AS c
    WHERE r.relname = 'organizations' AND r.relkind IN ('r', 'p')
    GROUP BY r.name
    """,
)

ACTIVE_ORGANIZATIONS = Rule(
    "active-organizations",
    "partman_auth returns the organization of a subdomain to a login that has no tenant yet. It "
    "must not return a deactivated organization.",
    """
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           'A policy lets partman_auth see more than active organizations.' AS reason,
           format(E'DROP POLICY %1$I ON %2$s;\\nCREATE POLICY %1$I ON %2$s FOR SELECT '
                  'TO partman_auth USING (is_active);', p.polname, t.name) AS remedy
    FROM guarded t
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE t.relname = 'organizations' AND p.polpermissive AND p.polcmd = 'r'
        AND p.polroles = ARRAY['partman_auth'::regrole::oid]
        AND pg_get_expr(p.polqual, p.polrelid) <> 'is_active'
    """,
)

ORGANIZATION_NAMES = Rule(
    "organization-names",
    "active_organizations lists the platform's customers. Only the console calls it, for an "
    "operator who has signed in.",
    f"""
    SELECT r.name AS object,
           format('%I may execute it.', grantee.name) AS reason,
           {as_its_owner("format('REVOKE EXECUTE ON ROUTINE %s FROM %I;', r.name, grantee.name)")}
    FROM routine r
    CROSS JOIN LATERAL aclexplode(r.proacl) AS given
    CROSS JOIN LATERAL (SELECT pg_get_userbyid(given.grantee) AS name) AS grantee
    WHERE r.proname = 'active_organizations' AND grantee.name <> 'partman_console'
        -- Its right for PUBLIC is a gap of the rule for all such functions.
        AND given.grantee NOT IN (0, r.proowner)
    """,
)

RULES = (
    CONSOLE_TABLES,
    CONSOLE_RIGHTS,
    ORGANIZATION_UPDATE,
    ACTIVE_ORGANIZATIONS,
    ORGANIZATION_NAMES,
)
