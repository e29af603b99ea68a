"""Row level security: on, forced, and with the two policies that isolate a tenant."""

from partman.audit.rule import Rule, is_one_of
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.isolation.row_security import (
    TENANT_ACCESS,
    TENANT_ONLY,
    printed_conditions,
    tenant_condition,
)


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    roles = tenancy.roles
    return (
        ROW_LEVEL_SECURITY,
        _tenant_policy(tenancy),
        _access_policy(tenancy),
        _policy_roles(roles.app, roles.logins),
        _policy_condition(tenancy),
        *(_lookup_policy(tenancy, auth) for auth in roles.those_of("auth")),
        _partition(roles.app, roles.api),
    )


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


def condition(tenancy: Tenancy) -> str:
    """Return the condition of the tenant for table ``t``: as written, and as it may be printed."""
    # The column is the only word that is not the same in all tables: %I stands for it.
    printed = ", ".join(
        f"format({literal(each)}, t.key)" for each in printed_conditions(tenancy, "%I")
    )
    written = f"format({literal(tenant_condition(tenancy, '%I'))}, t.key)"
    return f"SELECT ARRAY[{printed}] AS printed, {written} AS tenant_only"


# Without a WITH CHECK, PostgreSQL takes USING for it; a policy FOR INSERT has no USING.
COMPARES_THE_TENANT = """(
    coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        = ANY (printed)
    AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid))
        = ANY (printed)
)"""

WITH_THE_CONDITION = """concat(
    CASE WHEN p.polcmd <> 'a' THEN format(E'\\n  USING (%s)', tenant_only) END,
    CASE WHEN p.polwithcheck IS NOT NULL OR p.polcmd = 'a'
         THEN format(E'\\n  WITH CHECK (%s)', tenant_only) END
)"""


def _tenant_policy(tenancy: Tenancy) -> Rule:
    app = tenancy.roles.app
    return Rule(
        "tenant-policy",
        "Permissive policies are OR-ed, so only a RESTRICTIVE one keeps a careless policy from "
        "opening the table. It compares the tenant and nothing else: an unset tenant is an error.",
        f"""
    SELECT t.name AS object,
           format('No RESTRICTIVE policy FOR ALL TO {app} says %s.', tenant_only) AS reason,
           {_REPLACED} AS remedy
    FROM guarded t
    CROSS JOIN LATERAL ({condition(tenancy)}) AS wanted
    CROSS JOIN LATERAL (
        SELECT '{TENANT_ONLY}' AS policy, format(
            E'RESTRICTIVE FOR ALL TO {app}\\n  USING (%1$s)\\n  WITH CHECK (%1$s)', tenant_only
        ) AS definition
    ) AS written
    WHERE NOT EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = t.oid AND NOT p.polpermissive AND p.polcmd = '*'
            AND p.polroles = ARRAY['{app}'::regrole::oid]
            AND {COMPARES_THE_TENANT}
    )
    """,
    )


def _access_policy(tenancy: Tenancy) -> Rule:
    app = tenancy.roles.app
    return Rule(
        "access-policy",
        "A RESTRICTIVE policy only takes away. Without a permissive one FOR ALL the application "
        "reads no rows or writes none, which looks like missing data.",
        f"""
    SELECT t.name AS object,
           'No permissive policy FOR ALL applies to {app}.' AS reason,
           {_REPLACED} AS remedy
    FROM guarded t
    CROSS JOIN LATERAL ({condition(tenancy)}) AS wanted
    CROSS JOIN LATERAL (
        SELECT '{TENANT_ACCESS}' AS policy,
               format(E'PERMISSIVE FOR ALL TO {app}\\n  USING (%s)', tenant_only) AS definition
    ) AS written
    WHERE NOT EXISTS (
        SELECT FROM pg_policy p
        WHERE p.polrelid = t.oid AND p.polpermissive AND p.polcmd = '*'
            AND p.polroles && ARRAY['{app}'::regrole::oid, 0::oid]
    )
    """,
    )


def _policy_roles(app: str, logins: tuple[str, ...]) -> Rule:
    is_login = is_one_of("rolname", logins)
    return Rule(
        "policy-roles",
        f"The RESTRICTIVE policy binds {app}. A permissive one for PUBLIC, or for a login that "
        f"may become {app}, opens the table to roles that nothing restricts.",
        f"""
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           format('A permissive policy applies to %s.', (
               SELECT string_agg(coalesce(rolname, 'PUBLIC'), ', ' ORDER BY rolname)
               FROM unnest(p.polroles) AS to_role
               LEFT JOIN pg_roles ON pg_roles.oid = to_role
               WHERE to_role = 0 OR {is_login}
           )) AS reason,
           format('ALTER POLICY %I ON %s TO {app};', p.polname, t.name) AS remedy
    FROM guarded t
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE p.polpermissive AND p.polroles && ARRAY(
        SELECT 0::oid
        UNION ALL
        SELECT oid FROM pg_roles WHERE {is_login}
    )
    """,
    )


def _policy_condition(tenancy: Tenancy) -> Rule:
    app, logins = tenancy.roles.app, tenancy.roles.logins
    return Rule(
        "policy-condition",
        "A permissive policy with another condition opens the table as soon as the RESTRICTIVE one "
        "is lost: dropped by hand, or by an engine that does not know the word, such as Citus.",
        f"""
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           format('Its condition is not %s.', tenant_only) AS reason,
           format('ALTER POLICY %I ON %s%s;', p.polname, t.name, {WITH_THE_CONDITION}) AS remedy
    FROM guarded t
    CROSS JOIN LATERAL ({condition(tenancy)}) AS wanted
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE p.polpermissive AND NOT {COMPARES_THE_TENANT}
        AND p.polroles && ARRAY(
            SELECT 0::oid
            UNION ALL
            SELECT oid FROM pg_roles WHERE {is_one_of("rolname", (app, *logins))}
        )
    """,
    )


def _lookup_policy(tenancy: Tenancy, auth: str) -> Rule:
    return Rule(
        "lookup-policy",
        f"{auth} looks tenants up before one is known, so nothing restricts it: it reads "
        f"{tenancy.table}, and no row of any other table.",
        f"""
    SELECT format('%I ON %s', p.polname, t.name) AS object,
           'A policy lets {auth} do more than read {tenancy.table}.' AS reason,
           CASE WHEN t.relname = '{tenancy.table}'
                THEN format(
                    E'DROP POLICY %1$I ON %2$s;\\n'
                    'CREATE POLICY %1$I ON %2$s FOR SELECT TO {auth} USING (%3$s);',
                    p.polname, t.name, coalesce(pg_get_expr(p.polqual, p.polrelid), 'false'))
                ELSE format('ALTER POLICY %I ON %s TO {tenancy.roles.app}%s;', p.polname, t.name,
                            {WITH_THE_CONDITION})
           END AS remedy
    FROM guarded t
    CROSS JOIN LATERAL ({condition(tenancy)}) AS wanted
    JOIN pg_policy p ON p.polrelid = t.oid
    WHERE p.polpermissive AND '{auth}'::regrole::oid = ANY (p.polroles)
        AND NOT (
            t.relname = '{tenancy.table}' AND p.polcmd = 'r'
            AND p.polroles = ARRAY['{auth}'::regrole::oid]
        )
    """,
    )


def _partition(app: str, api: str) -> Rule:
    return Rule(
        "partition",
        "Who names a partition, or a table that inherits, is not under the policies of its parent.",
        f"""
    SELECT name AS object,
           'It holds rows of a tenant table, has no row level security of its own, and can be '
               'reached directly.' AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, {app}, {api};', name) AS remedy
    FROM tenant
    WHERE is_child AND is_reachable AND NOT relrowsecurity
    """,
    )
