"""Other roles of the server, which may reach rows without entering a tenant."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Roles, Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return _inherits_application(tenancy.roles), _reads_everything(tenancy.roles)


# A login that may connect, and is neither a superuser nor the owner or as good as the owner.
_LOGIN = """
    l.rolcanlogin AND NOT l.rolsuper
    AND has_database_privilege(l.oid, current_database(), 'CONNECT')
    AND NOT pg_has_role(l.oid, (SELECT rolname FROM owner), 'USAGE')
"""

_REVOKE = """
    string_agg(format(
        'REVOKE %I FROM %I%s;', granted.rolname, direct.rolname,
        CASE WHEN version >= 160000
             THEN format(' GRANTED BY %I', pg_get_userbyid(m.grantor)) ELSE '' END
    ), E'\\n' ORDER BY direct.rolname, granted.rolname, m.grantor)
"""

# How a login came to it: it inherits from each member on the way.
_WAY = """
    CROSS JOIN pg_auth_members m
    JOIN pg_roles granted ON granted.oid = m.roleid
    JOIN pg_roles direct ON direct.oid = m.member
    CROSS JOIN server
    WHERE pg_has_role(l.oid, direct.oid, 'USAGE') AND pg_has_role(direct.oid, granted.oid, 'USAGE')
"""


def _inherits_application(roles: Roles) -> Rule:
    return Rule(
        "inherits-application",
        f"A login that inherits {roles.app} has its rights in every session, and sets the tenant "
        "as it likes.",
        f"""
    SELECT quote_ident(l.rolname) AS object,
           'The login inherits the rights of {roles.app}.' AS reason, {_REVOKE} AS remedy
    FROM pg_roles l {_WAY}
        AND granted.rolname = '{roles.app}'
        -- These are of the rules role-inherits and role-membership.
        AND NOT {is_one_of("l.rolname", roles.those_of("app", "api", "auth", "console"))}
        AND NOT {is_one_of("direct.rolname", roles.logins)}
        AND {_LOGIN}
    GROUP BY l.rolname
    """,
    )


def _reads_everything(roles: Roles) -> Rule:
    return Rule(
        "reads-everything",
        "pg_read_all_data and pg_write_all_data reach every table without a GRANT: the accounts, "
        "the bookkeeping, and with BYPASSRLS every tenant's rows. The owner's login makes backups.",
        f"""
    SELECT quote_ident(l.rolname) AS object,
           format('The login has the rights of %s.', string_agg(DISTINCT granted.rolname, ', '))
               AS reason,
           {_REVOKE} AS remedy
    FROM pg_roles l {_WAY}
        AND granted.rolname IN ('pg_read_all_data', 'pg_write_all_data')
        -- These are of the rule role-membership.
        AND NOT {is_one_of("l.rolname", roles.those_of("app", "api", "auth", "console"))}
        AND {_LOGIN}
    GROUP BY l.rolname
    """,
    )
