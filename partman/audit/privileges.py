"""Rights: what the application's roles, and PUBLIC, may do with tables."""

from partman.audit.rule import Rule

APP_RIGHTS = Rule(
    "app-rights",
    "TRUNCATE and REFERENCES ignore row level security, TRIGGER runs code on other tenants' "
    "changes, MAINTAIN locks everybody out; and the application does not make or delete tenants.",
    """
    SELECT t.name AS object,
           format('partman_app may %s.', string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM PUBLIC, partman_app;',
                  string_agg(e.privilege, ', '), t.name) AS remedy
    FROM tenant t
    JOIN effective e ON e.oid = t.oid AND e.role = 'partman_app'
    WHERE e.privilege NOT IN ('SELECT', 'UPDATE')
        AND NOT (e.privilege IN ('INSERT', 'DELETE') AND t.key <> 'id')
    GROUP BY t.name
    """,
)

APP_UPDATE = Rule(
    "app-update",
    "Who may change the tenant's column moves rows between tenants; who may change a key or a "
    "subdomain learns from the duplicate-key error what other tenants have.",
    """
    SELECT t.name AS object,
           format('partman_app may UPDATE %s.', string_agg(c.name, ', ') FILTER (WHERE NOT allowed))
               AS reason,
           format('REVOKE UPDATE ON TABLE %s FROM PUBLIC, partman_app;', t.name)
               || coalesce(format(E'\\nGRANT UPDATE (%s) ON TABLE %s TO partman_app;',
                      string_agg(c.name, ', ') FILTER (WHERE allowed), t.name)
                  , '') AS remedy
    FROM tenant t
    CROSS JOIN LATERAL (
        SELECT quote_ident(attname) AS name,
               CASE t.key WHEN 'id' THEN attname IN ('name', 'settings', 'updated_at')
                          ELSE attname NOT IN ('id', 'organization_id') END AS allowed
        FROM pg_attribute
        WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped
            AND has_column_privilege('partman_app', t.oid, attnum, 'UPDATE')
        ORDER BY attnum
    ) AS c
    WHERE EXISTS (SELECT FROM actor WHERE role = 'partman_app')
    GROUP BY t.name
    HAVING NOT bool_and(allowed)
    """,
)

RIGHTS_OUTSIDE_A_TENANT = Rule(
    "rights-outside-a-tenant",
    "partman_api, the login, may do nothing until it has entered a tenant; then a forgotten "
    "tenant() is an error and not a leak. What PUBLIC may do, partman_api may.",
    """
    SELECT r.name AS object,
           format('%s may %s.', e.actor, string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, partman_api;', r.name) AS remedy
    FROM relation r
    JOIN effective e ON e.oid = r.oid
    WHERE r.oid NOT IN (SELECT oid FROM console)
        AND (
            e.role = 'public'
            OR e.role = 'partman_api' AND NOT EXISTS (
                SELECT FROM effective p
                WHERE p.role = 'public' AND p.oid = e.oid AND p.privilege = e.privilege
            )
        )
    GROUP BY r.name, e.actor
    """,
)

TABLE_WITHOUT_TENANT = Rule(
    "table-without-tenant",
    "A table without organization_id has no tenant to compare with: whoever may read it reads "
    "everything. The bookkeeping of the migrations is nobody's but the owner's.",
    """
    SELECT r.name AS object,
           format('It has no organization_id, and partman_app may %s.',
                  string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, partman_app;', r.name) AS remedy
    FROM relation r
    JOIN effective e ON e.oid = r.oid AND e.role = 'partman_app'
    WHERE r.relkind IN ('r', 'p')
        AND r.oid NOT IN (SELECT oid FROM tenant UNION ALL SELECT oid FROM console)
    GROUP BY r.name
    """,
)

SEQUENCE = Rule(
    "sequence",
    "A sequence that tenants share tells each how much the others insert. Keys are random UUIDs, "
    "and an identity column needs no right on its sequence.",
    """
    SELECT r.name AS object,
           format('%s may use it.', string_agg(actor.name, ', ')) AS reason,
           format('REVOKE ALL ON SEQUENCE %s FROM %s;', r.name,
                  (SELECT string_agg(name, ', ') FROM actor)) AS remedy
    FROM relation r
    CROSS JOIN actor
    WHERE r.relkind = 'S' AND r.oid NOT IN (SELECT oid FROM console)
        AND has_sequence_privilege(actor.role, r.oid, 'USAGE, SELECT, UPDATE')
    GROUP BY r.name
    """,
)

DEFAULT_PRIVILEGES = Rule(
    "default-privileges",
    "Default privileges open tables that do not exist yet, before anybody has given them a policy.",
    """
    SELECT format('default privileges of %I%s', d.owner, ' in ' || d.schema) AS object,
           format('New %s are given to %s.', d.what, d.grantee) AS reason,
           format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s;',
                  d.owner, ' IN SCHEMA ' || d.schema, upper(d.what), d.grantee) AS remedy
    FROM (
        SELECT DISTINCT pg_get_userbyid(defaclrole) AS owner, s.name AS schema,
               CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                                  ELSE 'schemas' END AS what,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS grantee
        FROM pg_default_acl
        LEFT JOIN user_schema s ON s.oid = defaclnamespace
        CROSS JOIN LATERAL aclexplode(defaclacl) AS given
        WHERE defaclobjtype IN ('r', 'S', 'n') AND (s.oid IS NOT NULL OR defaclnamespace = 0)
            AND (grantee = 0 OR pg_get_userbyid(grantee) IN (SELECT role FROM actor))
            AND grantee <> defaclrole
    ) AS d
    """,
)

RULES = (
    APP_RIGHTS,
    APP_UPDATE,
    RIGHTS_OUTSIDE_A_TENANT,
    TABLE_WITHOUT_TENANT,
    SEQUENCE,
    DEFAULT_PRIVILEGES,
)
