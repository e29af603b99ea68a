"""PostgreSQL's own tables and functions: what was given to the tenants' roles since initdb."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return _catalog_rights(tenancy), BUILT_IN_LEAKPROOF


_FUNCTION = "format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid))"


def _catalog_rights(tenancy: Tenancy) -> Rule:
    # pg_init_privs has what initdb gave; where it has nothing, that was the default.
    return Rule(
        "catalog-rights",
        "pg_statistic has values of all tenants' rows, pg_authid the passwords, and functions such "
        "as pg_read_file the server's files. PostgreSQL keeps them from everybody; a GRANT does "
        "not.",
        f"""
    SELECT name AS object,
           format('%s may %s.', grantee_name, string_agg(DISTINCT what, ', ')) AS reason,
           format('REVOKE %s ON %s %s FROM %s;', string_agg(DISTINCT what, ', '), kind, name,
                  grantee_name) AS remedy
    FROM (
        SELECT listed.*, grantee, privilege_type,
               privilege_type || coalesce(' (' || attribute || ')', '') AS what,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                   AS grantee_name
        FROM (
            SELECT 'pg_class'::regclass AS class, c.oid, 0 AS part, 'r'::"char" AS type,
                   'TABLE' AS kind, format('%I.%I', nspname, relname) AS name,
                   NULL AS attribute, relowner AS owner, relacl AS acl
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relacl IS NOT NULL
            UNION ALL
            SELECT 'pg_class'::regclass, c.oid, attnum, 'c'::"char", 'TABLE',
                   format('%I.%I', nspname, relname), quote_ident(attname), relowner, attacl
            FROM pg_attribute
            JOIN pg_class c ON c.oid = attrelid
            JOIN pg_namespace n ON n.oid = relnamespace
            WHERE attacl IS NOT NULL AND NOT attisdropped
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, 0, 'f'::"char", 'ROUTINE', {_FUNCTION}, NULL,
                   proowner, proacl
            FROM pg_proc p
            JOIN pg_namespace n ON n.oid = pronamespace
            WHERE proacl IS NOT NULL
        ) AS listed
        CROSS JOIN LATERAL aclexplode(acl)
        -- Below are the objects that initdb made. Of nearly all, the rights are what it gave.
        WHERE listed.oid < 16384 AND name LIKE 'pg\\_catalog.%'
            AND (class, listed.oid, part, acl) NOT IN (
                SELECT classoid, objoid, objsubid, initprivs FROM pg_init_privs
            )
            AND (grantee = 0 OR pg_get_userbyid(grantee) IN (
                SELECT rolname FROM pg_roles WHERE {is_one_of("rolname", tenancy.roles.all)}
            ))
    ) AS given
    WHERE NOT EXISTS (
        SELECT FROM aclexplode(coalesce(
            (SELECT initprivs FROM pg_init_privs
             WHERE classoid = class AND objoid = given.oid AND objsubid = part),
            acldefault(type, owner)
        )) AS at_first
        WHERE at_first.grantee IN (0, given.grantee)
            AND at_first.privilege_type = given.privilege_type
    )
    GROUP BY name, kind, grantee_name
    """,
    )


# No list of functions: what initdb made has the transaction ID 1, or 2, which is "frozen", and what
# was altered since has another one. Vacuuming keeps it, and a new database gets it from its
# template.
BUILT_IN_LEAKPROOF = Rule(
    "built-in-leakproof",
    "An operator of PostgreSQL's own that is not LEAKPROOF tells in its errors of values that the "
    "tenant may not see. Marked so, it is evaluated before the policies.",
    f"""
    SELECT {_FUNCTION} AS object,
           'It is one of PostgreSQL''s own, and it was altered and is LEAKPROOF.' AS reason,
           format('ALTER ROUTINE %s NOT LEAKPROOF;', {_FUNCTION}) AS remedy
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = pronamespace
    WHERE proleakproof AND p.oid < 16384 AND p.xmin::text::bigint > 2
    """,
)
