"""The roles that work outside of ``tenant()``: the operator, and the reader of reports."""

from partman.audit.row_security import COMPARES_THE_TENANT, WITH_THE_CONDITION, condition
from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about those that the tenancy has."""
    both = tenancy.roles.those_of("operator", "reports")
    return (
        *(_operator_policy(tenancy, role) for role in tenancy.roles.those_of("operator")),
        *(_operator_rights(tenancy, role) for role in tenancy.roles.those_of("operator")),
        *(_reports_rights(role) for role in tenancy.roles.those_of("reports")),
        *((_inherits(tenancy, both),) if both else ()),
    )


def _operator_policy(tenancy: Tenancy, operator: str) -> Rule:
    return Rule(
        "operator-policy",
        f"{operator} reaches the rows of one tenant at a time. With another policy a mistake in "
        "one export or import concerns all of them.",
        f"""
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           format('A policy lets {operator} reach other rows than those with %s.', tenant_only)
               AS reason,
           format('ALTER POLICY %I ON %s%s;', p.polname, t.name, {WITH_THE_CONDITION}) AS remedy
    FROM guarded t
    CROSS JOIN LATERAL ({condition(tenancy)}) AS wanted
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE t.relname <> '{tenancy.table}' AND p.polpermissive
        AND '{operator}'::regrole::oid = ANY (p.polroles)
        AND NOT {COMPARES_THE_TENANT}
    """,
    )


def _operator_rights(tenancy: Tenancy, operator: str) -> Rule:
    return Rule(
        "operator-rights",
        f"{operator} counts, exports and imports a tenant's rows; it changes none of them, and "
        "deletes them only together with their tenant.",
        f"""
    SELECT t.name AS object,
           format('{operator} may %s.', string_agg(privilege, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM {operator};', string_agg(privilege, ', '), t.name)
               AS remedy
    FROM tenant t
    CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    WHERE EXISTS (
            SELECT FROM pg_class c
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid
            CROSS JOIN LATERAL (
                SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(a.attacl)
            ) AS given
            WHERE c.oid = t.oid AND given.grantee = '{operator}'::regrole
                AND given.privilege_type = privilege
        )
        AND NOT (t.relname = '{tenancy.table}' AND privilege IN ('UPDATE', 'DELETE'))
    GROUP BY t.name
    UNION ALL
    -- REVOKE on a table takes the rights to its columns along.
    SELECT r.name,
           format('{operator} has %s on the whole table, not only on %s.',
                  w.privilege_type, k.names),
           format('REVOKE %1$s ON TABLE %2$s FROM {operator}; '
                  'GRANT %1$s (%3$s) ON TABLE %2$s TO {operator};',
                  w.privilege_type, r.name, k.names)
    FROM relation r
    JOIN pg_class c ON c.oid = r.oid
    CROSS JOIN LATERAL aclexplode(c.relacl) w
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS names
        FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) g
        WHERE a.attrelid = c.oid AND g.grantee = w.grantee
            AND g.privilege_type = w.privilege_type
    ) k
    WHERE w.grantee = '{operator}'::regrole AND k.names IS NOT NULL
    """,
    )


def _reports_rights(reports: str) -> Rule:
    return Rule(
        "reports-rights",
        f"{reports} reads all tenants' rows, so it changes nothing, and reads columns that were "
        "named: a table as a whole would show what is added to it later.",
        f"""
    SELECT r.name AS object,
           format('{reports} may %s.', string_agg(DISTINCT given.privilege_type, ', ')) AS reason,
           format('REVOKE %s ON TABLE %s FROM {reports};',
                  string_agg(DISTINCT given.privilege_type, ', '), r.name) AS remedy
    FROM relation r
    JOIN pg_class c ON c.oid = r.oid
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid
    CROSS JOIN LATERAL (
        SELECT *, true AS whole FROM aclexplode(c.relacl)
        UNION ALL
        SELECT *, false FROM aclexplode(a.attacl)
    ) AS given
    WHERE r.relkind <> 'S' AND given.grantee = '{reports}'::regrole
        AND (
            given.privilege_type <> 'SELECT'
            OR given.whole AND r.oid IN (SELECT oid FROM tenant)
        )
    GROUP BY r.name
    """,
    )


def _inherits(tenancy: Tenancy, roles: tuple[str, ...]) -> Rule:
    both = " and ".join(roles)
    return Rule(
        "operator-inherits",
        f"A login that inherits {both} has their rights in every statement.",
        f"""
    SELECT quote_ident(login.rolname) AS object,
           format('The login inherits the rights of %I.', role.rolname) AS reason,
           format('ALTER ROLE %I NOINHERIT;', login.rolname)
               || coalesce((
                   SELECT string_agg(format(
                       E'\\nGRANT %I TO %I WITH INHERIT FALSE GRANTED BY %I;',
                       role.rolname, login.rolname, pg_get_userbyid(m.grantor)), ''
                       ORDER BY m.grantor)
                   FROM pg_auth_members m
                   WHERE m.roleid = role.oid AND m.member = login.oid
                       AND (to_jsonb(m) ->> 'inherit_option')::boolean
               ), '') AS remedy
    FROM pg_roles login
    JOIN pg_roles role ON {is_one_of("role.rolname", roles)}
    WHERE {is_one_of("login.rolname", tenancy.roles.logins)} AND NOT login.rolsuper
        AND pg_has_role(login.oid, role.oid, 'USAGE')
    """,
    )
