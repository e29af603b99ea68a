"""Mutants of what a server's administrator keeps: triggers, functions, settings, other roles."""

from tests.isolation.mutants import Kind

KINDS = (
    Kind(
        "triggers disabled",
        """
        SELECT format('%I on %s', g.tgname, t.name),
               format('ALTER TABLE %s %s TRIGGER %I', t.name, how, g.tgname), NULL
        FROM pg_trigger g
        JOIN tenant t ON t.oid = g.tgrelid
        CROSS JOIN unnest('{DISABLE, ENABLE REPLICA}'::text[]) AS how
        """,
        superuser=True,
        usual=11,
    ),
    Kind(
        "operators made leakproof",
        """
        SELECT DISTINCT p.oid::regprocedure::text,
               format('ALTER FUNCTION %s LEAKPROOF', p.oid::regprocedure), NULL
        FROM pg_operator o
        JOIN pg_proc p ON p.oid = o.oprcode
        WHERE NOT p.proleakproof AND p.pronamespace = 'pg_catalog'::regnamespace
        ORDER BY 1
        """,
        superuser=True,
        usual=97,
    ),
    Kind(
        "settings that sessions begin with",
        """
        SELECT format('%s of %s', setting, whose), format('ALTER %s SET %s', whose, setting), NULL
        FROM (
            SELECT 'ROLE ' || role AS whose FROM ours
            UNION ALL SELECT 'DATABASE ' || quote_ident(current_database())
            UNION ALL SELECT 'ROLE ALL'
            UNION ALL SELECT format('ROLE partman_api IN DATABASE %I', current_database())
        ) AS with_settings
        CROSS JOIN unnest(ARRAY[
            'role = partman_app', 'partman.organization_id = ''x''', 'row_security = off',
            'search_path = other, public', 'session_replication_role = replica'
        ]) AS setting
        """,
        superuser=True,
        usual=3,
    ),
    Kind(
        "rights to the server's catalog",
        """
        SELECT format('%s to %s', c.oid::regclass, role),
               format('GRANT SELECT ON %s TO %s', c.oid::regclass, role), NULL
        FROM pg_class c CROSS JOIN application
        WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
            AND NOT has_table_privilege('public', c.oid, 'SELECT')
        UNION ALL
        SELECT format('%s to %s', p.oid::regprocedure, role),
               format('GRANT EXECUTE ON FUNCTION %s TO %s', p.oid::regprocedure, role), NULL
        FROM pg_proc p CROSS JOIN application
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
            AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
            AND p.proname <> 'set_config'
        """,
        superuser=True,
        usual=41,
    ),
    Kind(
        "parameters of a superuser",
        """
        SELECT format('%s to %s', name, role),
               format('GRANT SET ON PARAMETER %s TO %s', name, role), NULL
        FROM pg_settings CROSS JOIN application
        WHERE context IN ('superuser', 'superuser-backend')
        """,
        superuser=True,
        usual=29,
    ),
    Kind(
        "other logins",
        """
        SELECT format('%s to a login', role),
               format('CREATE ROLE partman_test_login LOGIN; GRANT %s TO partman_test_login', role),
               NULL
        FROM unnest('{partman_app, pg_read_all_data, pg_write_all_data}'::text[]) AS role
        """,
        superuser=True,
    ),
    Kind(
        "unique indexes over all tenants",
        """
        SELECT format('unique %I on %s', attname, t.name),
               format('CREATE UNIQUE INDEX ON %s (%I) WHERE false', t.name, attname), NULL
        FROM tenant t
        JOIN pg_attribute a ON a.attrelid = t.oid AND attnum > 0 AND NOT attisdropped
        WHERE attname NOT IN ('id', 'organization_id') AND t.key <> 'id'
            AND atttypid NOT IN ('json'::regtype)
        """,
        usual=11,
    ),
)
