"""Grant options: what the tenants' roles could give to others, and what of it they gave."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy

# Every right that somebody was given, on what a tenant's row could be reached through.
_GIVEN = """
    SELECT listed.*, grantor, grantee,
           privilege_type || coalesce(' (' || attribute || ')', '') AS what,
           -- By which of our roles, and to which of them with the option. An owner has it anyway.
           (SELECT rolname FROM ours WHERE oid = grantor AND oid <> listed.owner) AS passed_on_by,
           (SELECT rolname FROM ours WHERE oid = grantee AND oid <> listed.owner AND is_grantable)
               AS holder
    FROM (
        SELECT r.name, CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
               NULL AS attribute, r.relowner AS owner, relacl AS acl
        FROM relation r
        JOIN pg_class c ON c.oid = r.oid
        UNION ALL
        SELECT r.name, 'TABLE', quote_ident(attname), r.relowner, attacl
        FROM relation r
        JOIN pg_attribute ON attrelid = r.oid AND attacl IS NOT NULL AND NOT attisdropped
        UNION ALL
        SELECT s.name, 'SCHEMA', NULL, nspowner, nspacl
        FROM user_schema s
        JOIN pg_namespace n ON n.oid = s.oid
        UNION ALL
        -- PostgreSQL's own too: set_config is one.
        SELECT CASE pronamespace WHEN 'pg_catalog'::regnamespace THEN 'pg_catalog.' ELSE '' END
                   || oid::regprocedure, 'ROUTINE', NULL, proowner, proacl
        FROM pg_proc
        WHERE proacl IS NOT NULL
        UNION ALL
        SELECT quote_ident(datname), 'DATABASE', NULL, datdba, datacl
        FROM pg_database
        WHERE datname = current_database()
    ) AS listed
    CROSS JOIN LATERAL aclexplode(acl)
    WHERE ARRAY[grantor, grantee] && ARRAY(SELECT oid FROM ours)
"""


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rule about them."""
    return (_grant_option(is_one_of("rolname", tenancy.roles.all)),)


# What a role passed on goes with its option, by CASCADE. But for one thing: with the option on a
# table, a column's right may be given, and a column has a list of its own. There the owner gives
# the role the option for the column, and takes it back with all that came of it.
def _grant_option(is_ours: str) -> Rule:
    return Rule(
        "grant-option",
        "Who has a right WITH GRANT OPTION gives it to others: to a login outside of tenant(), or "
        "to PUBLIC. And what they gave, the owner's REVOKE leaves where it is.",
        f"""
    WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE {is_ours}), given AS ({_GIVEN})
    SELECT name AS object,
           string_agg(DISTINCT said, ', ') || '.' AS reason,
           string_agg(DISTINCT statement, E'\\n') AS remedy
    FROM (
        SELECT name, kind,
               format('%s may pass on %s', holder, string_agg(what, ', ' ORDER BY what)) AS said,
               format(
                   CASE WHEN given.owner = given.grantor AND giver.rolname = owner.rolname
                        THEN '%2$s' ELSE E'SET ROLE %1$I;\\n%2$s\\nRESET ROLE;' END,
                   giver.rolname,
                   format('REVOKE GRANT OPTION FOR %s ON %s %s FROM %I CASCADE;',
                          string_agg(what, ', ' ORDER BY what), kind, name, holder)
               ) AS statement
        FROM given
        JOIN pg_roles giver ON giver.oid = given.grantor
        CROSS JOIN owner
        WHERE holder IS NOT NULL AND passed_on_by IS NULL
        GROUP BY name, kind, holder, given.owner, given.grantor, giver.rolname, owner.rolname
        UNION ALL
        SELECT given.name, given.kind,
               format('%s has passed on %s', given.passed_on_by, given.what),
               format(
                   E'GRANT %1$s ON %2$s %3$s TO %4$I WITH GRANT OPTION;\\n'
                   'REVOKE %5$s%1$s ON %2$s %3$s FROM %4$I CASCADE;',
                   given.what, given.kind, given.name, given.passed_on_by,
                   CASE WHEN count(own.name) > 0 THEN 'GRANT OPTION FOR ' ELSE '' END
               )
        FROM given
        LEFT JOIN given AS own
            ON (own.name, own.kind, own.what) = (given.name, given.kind, given.what)
            AND own.grantee = given.grantor
        WHERE given.passed_on_by IS NOT NULL
        GROUP BY given.name, given.kind, given.what, given.passed_on_by
        HAVING count(own.holder) = 0
    ) AS gap
    GROUP BY name, kind
    """,
    )
