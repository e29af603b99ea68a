"""Rights: what the application's roles, and PUBLIC, may do with tables."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    app, api = tenancy.roles.app, tenancy.roles.api
    return (
        _app_rights(app),
        _app_update(app, tenancy.column),
        _rights_outside_a_tenant(api, tenancy.roles.those_of("console")),
        _table_without_tenant(app, tenancy.column),
        _sequence(tenancy),
        DEFAULT_PRIVILEGES,
    )


def _app_rights(app: str) -> Rule:
    return Rule(
        "app-rights",
        "TRUNCATE and REFERENCES ignore row level security, TRIGGER runs code on other tenants' "
        "changes, MAINTAIN locks everybody out; and the application does not make or delete "
        "tenants.",
        f"""
    SELECT t.name AS object,
           format('{app} may %s.', string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM PUBLIC, {app};',
                  string_agg(e.privilege, ', '), t.name) AS remedy
    FROM tenant t
    JOIN effective e ON e.oid = t.oid AND e.role = '{app}'
    WHERE e.privilege NOT IN ('SELECT', 'UPDATE')
        AND NOT (e.privilege IN ('INSERT', 'DELETE') AND t.key <> 'id')
    GROUP BY t.name
    """,
    )


def _app_update(app: str, tenant_column: str) -> Rule:
    return Rule(
        "app-update",
        "Who may change the tenant's column moves rows between tenants; who may change a key, or "
        "what is unique among all tenants, learns from the duplicate-key error what others have.",
        f"""
    SELECT t.name AS object,
           format('{app} may UPDATE %s.', string_agg(c.name, ', ') FILTER (WHERE NOT allowed))
               AS reason,
           format('REVOKE UPDATE ON TABLE %s FROM PUBLIC, {app};', t.name)
               || coalesce(format(E'\\nGRANT UPDATE (%s) ON TABLE %s TO {app};',
                      string_agg(c.name, ', ') FILTER (WHERE allowed), t.name)
                  , '') AS remedy
    FROM tenant t
    CROSS JOIN LATERAL (
        SELECT quote_ident(attname) AS name,
               attname NOT IN ('id', '{tenant_column}') AND NOT EXISTS (
                   SELECT FROM pg_index
                   WHERE indrelid = t.oid AND (
                           indisprimary
                           OR indisunique AND t.key = 'id' AND t.key_number <> ALL (indkey)
                       )
                       AND (attnum = ANY (indkey) OR EXISTS (
                           SELECT FROM pg_depend
                           WHERE classid = 'pg_class'::regclass AND objid = indexrelid
                               AND refobjid = t.oid AND refobjsubid = attnum
                       ))
               ) AS allowed
        FROM pg_attribute
        WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped
            AND has_column_privilege('{app}', t.oid, attnum, 'UPDATE')
        ORDER BY attnum
    ) AS c
    WHERE EXISTS (SELECT FROM actor WHERE role = '{app}')
    GROUP BY t.name
    HAVING NOT bool_and(allowed)
    """,
    )


def _rights_outside_a_tenant(api: str, console: tuple[str, ...]) -> Rule:
    return Rule(
        "rights-outside-a-tenant",
        f"{api}, the login, may do nothing until it has entered a tenant; then a forgotten "
        f"tenant() is an error and not a leak. What PUBLIC may do, {api} may. The console reaches "
        "its own tables, and a tenant's rows no sooner.",
        f"""
    SELECT r.name AS object,
           format('%s may %s.', e.actor, string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE ALL ON TABLE %s FROM %s;', r.name,
                  CASE WHEN {is_one_of("e.actor", console)} THEN e.actor ELSE 'PUBLIC, {api}' END)
               AS remedy
    FROM relation r
    JOIN effective e ON e.oid = r.oid
    WHERE e.role = 'public'
        OR (
            e.role = '{api}'
            OR {is_one_of("e.role", console)} AND r.oid IN (SELECT oid FROM tenant)
        ) AND NOT EXISTS (
            SELECT FROM effective p
            WHERE p.role = 'public' AND p.oid = e.oid AND p.privilege = e.privilege
        )
    GROUP BY r.name, e.actor
    """,
    )


def _table_without_tenant(app: str, tenant_column: str) -> Rule:
    return Rule(
        "table-without-tenant",
        f"A table without {tenant_column} has no tenant to compare with: whoever may read it reads "
        "everything. The bookkeeping of the migrations is nobody's but the owner's.",
        f"""
    SELECT r.name AS object,
           format(CASE WHEN r.oid IN (SELECT oid FROM without_tenant)
                       THEN 'Its rows are no tenant''s, and {app} may %s.'
                       ELSE 'It has no {tenant_column}, and {app} may %s.' END,
                  string_agg(e.privilege, ', ')) AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, {app};', r.name) AS remedy
    FROM relation r
    JOIN effective e ON e.oid = r.oid AND e.role = '{app}'
    WHERE r.relkind IN ('r', 'p') AND r.oid NOT IN (SELECT oid FROM tenant)
    GROUP BY r.name, r.oid
    """,
    )


# To insert a row that a serial column numbers takes USAGE of its sequence. The number tells how
# many rows all tenants have made, as the key tells that it becomes. Nobody needs SELECT, to look
# without inserting, or UPDATE, to set the sequence back.
def _sequence(tenancy: Tenancy) -> Rule:
    app, logins = tenancy.roles.app, tenancy.roles.logins
    is_console = is_one_of("actor.role", tenancy.roles.those_of("console"))
    return Rule(
        "sequence",
        "A sequence that tenants share tells each how much the others insert, and who may set it "
        f"back makes their inserts fail. {app} needs USAGE where a serial column numbers the rows "
        "of a tenant table, and nothing more; UUIDs and identity columns need no right at all.",
        f"""
    SELECT r.name AS object,
           format('%s may %suse it.', string_agg(actor.name, ', '),
                  CASE WHEN bool_and(excess = 'ALL') THEN '' ELSE 'do more than ' END) AS reason,
           string_agg(format('REVOKE %s ON SEQUENCE %s FROM %s;', excess, r.name, actor.name),
                      E'\\n' ORDER BY actor.name) AS remedy
    FROM relation r
    CROSS JOIN actor
    CROSS JOIN LATERAL (
        SELECT CASE WHEN actor.role = '{app}' AND EXISTS (
            SELECT FROM numbering n JOIN tenant t ON t.oid = n.of_table
            WHERE n.oid = r.oid AND NOT n.is_identity
        ) THEN 'SELECT, UPDATE' ELSE 'ALL' END AS excess
    ) AS beyond
    CROSS JOIN LATERAL (
        SELECT replace(excess, 'ALL', 'USAGE, SELECT, UPDATE') AS privileges
    ) AS spelled_out
    WHERE r.relkind = 'S' AND has_sequence_privilege(actor.role, r.oid, privileges)
        -- The console numbers its own rows.
        AND NOT ({is_console} AND r.oid IN (SELECT oid FROM without_tenant))
        -- What a login inherits from {app} is one gap of the rule role-inherits.
        AND NOT (
            {is_one_of("actor.role", logins)} AND pg_has_role(actor.role, '{app}', 'USAGE')
            AND has_sequence_privilege('{app}', r.oid, privileges)
        )
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
