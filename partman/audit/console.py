"""The console: nobody else reaches its accounts, and it reaches no tenant's row by itself."""

from partman.audit.rule import Rule

CONSOLE_TABLES = Rule(
    "console-tables",
    "Who reads an account has its password's hash, who changes one signs in as anybody, and no "
    "policy guards them: only partman_console, and their owner, have rights on these tables.",
    """
    SELECT r.name AS object,
           format('%s may %s.', grantee.name, string_agg(DISTINCT privilege_type, ', ')) AS reason,
           format('REVOKE ALL ON %s %s FROM %s;',
                  CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, r.name, grantee.name)
               AS remedy
    FROM console
    JOIN relation r ON r.oid = console.oid
    CROSS JOIN LATERAL (
        SELECT relacl AS acl FROM pg_class WHERE oid = r.oid
        UNION ALL
        SELECT attacl FROM pg_attribute WHERE attrelid = r.oid
    ) AS said
    CROSS JOIN LATERAL aclexplode(acl) AS given
    CROSS JOIN LATERAL (
        SELECT CASE given.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(given.grantee)) END AS name
    ) AS grantee
    WHERE given.grantee <> r.relowner AND grantee.name <> 'partman_console'
    GROUP BY r.name, r.relkind, grantee.name
    """,
)

CONSOLE_RIGHTS = Rule(
    "console-rights",
    "The console is a web application. It signs people in and ends their sessions, and reads what "
    "the migrations did; it makes no account, and outside of tenant() it reads no tenant's row.",
    """
    SELECT r.name AS object,
           format('partman_console may %s.', string_agg(excess.what, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM partman_console;',
                  string_agg(excess.privilege, ', '), r.name)
               || CASE WHEN r.oid IN (SELECT oid FROM console)
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
        FROM console
        JOIN actor ON actor.role = 'partman_console'
        JOIN pg_class ON pg_class.oid = console.oid AND relname = 'console_accounts'
        JOIN pg_attribute ON attrelid = console.oid AND attnum > 0 AND NOT attisdropped
        WHERE attname NOT IN ('password', 'last_login')
            AND has_column_privilege(actor.role, attrelid, attnum, 'UPDATE')
            AND NOT has_column_privilege('public', attrelid, attnum, 'UPDATE')
        GROUP BY attrelid
    ) AS excess ON excess.oid = r.oid
    WHERE NOT (
        r.oid IN (SELECT oid FROM console) AND (
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

RULES = (CONSOLE_TABLES, CONSOLE_RIGHTS)
