"""The roles themselves: what no policy could keep from them."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Roles, Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    roles = tenancy.roles
    return (
        _role_attributes(roles),
        _role_inherits(roles.app, roles.logins),
        _role_membership(roles),
        _owned_by_application(roles),
    )


def _of_the_application(roles: Roles) -> tuple[str, ...]:
    return roles.those_of("app", "api", "auth", "console", "operator", "reports")


def _role_attributes(roles: Roles) -> Rule:
    return Rule(
        "role-attributes",
        "No policy binds a superuser or a role with BYPASSRLS; one with CREATEROLE or CREATEDB "
        "makes itself another, and one with REPLICATION copies the whole server.",
        f"""
    SELECT quote_ident(rolname) AS object,
           format('The role has %s.', string_agg(attribute, ', ')) AS reason,
           format('ALTER ROLE %I %s;', rolname, string_agg('NO' || attribute, ' ')) AS remedy
    FROM pg_roles
    CROSS JOIN LATERAL (
        VALUES ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls), ('CREATEROLE', rolcreaterole),
               ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)
    ) AS given (attribute, has)
    WHERE {is_one_of("rolname", _of_the_application(roles))} AND has
    GROUP BY rolname
    """,
    )


def _role_inherits(app: str, logins: tuple[str, ...]) -> Rule:
    return Rule(
        "role-inherits",
        f"A login that inherits {app} has its rights outside of tenant() as well.",
        f"""
    SELECT quote_ident(rolname) AS object,
           'The login inherits the rights of {app}, or would inherit those of its next role.'
               AS reason,
           format('ALTER ROLE %I NOINHERIT;', rolname)
               -- From PostgreSQL 16 on it is the membership that says so.
               || coalesce((
                   SELECT string_agg(format(
                       E'\\nGRANT {app} TO %I WITH INHERIT FALSE GRANTED BY %I;',
                       rolname, pg_get_userbyid(m.grantor)), '' ORDER BY m.grantor)
                   FROM pg_auth_members m
                   WHERE m.roleid = '{app}'::regrole AND m.member = login.oid
                       AND (to_jsonb(m) ->> 'inherit_option')::boolean
               ), '') AS remedy
    FROM pg_roles login
    WHERE {is_one_of("rolname", logins)} AND NOT rolsuper
        AND (rolinherit OR pg_has_role(rolname, '{app}', 'USAGE'))
    """,
    )


def _role_membership(roles: Roles) -> Rule:
    app, logins = roles.app, roles.logins
    others = roles.those_of("operator", "reports")
    also = f", {roles.api} also {' and '.join(others)}" if others else ""
    return Rule(
        "role-membership",
        f"What a role is a member of, it can become: {' and '.join(logins)} may become {app}"
        f"{also}, and nothing else; none may pass the membership on, and none become the console.",
        f"""
    SELECT quote_ident(member.rolname) AS object,
           format('It %s %I.', CASE WHEN allowed THEN 'may give others' ELSE 'is a member of' END,
                  of.rolname) AS reason,
           string_agg(format(
               'REVOKE %s%I FROM %I%s;',
               CASE WHEN allowed THEN 'ADMIN OPTION FOR ' ELSE '' END, of.rolname, member.rolname,
               CASE WHEN version >= 160000
                    THEN format(' GRANTED BY %I', pg_get_userbyid(m.grantor)) ELSE '' END
           ), E'\\n') AS remedy
    FROM pg_auth_members m
    JOIN pg_roles member ON member.oid = m.member
    JOIN pg_roles of ON of.oid = m.roleid
    CROSS JOIN server
    CROSS JOIN LATERAL (
        SELECT {is_one_of("member.rolname", logins)} AND of.rolname = '{app}'
            OR member.rolname = '{roles.api}' AND {is_one_of("of.rolname", others)} AS allowed
    ) AS rule
    WHERE (
            {is_one_of("member.rolname", _of_the_application(roles))}
            OR {is_one_of("member.rolname", roles.those_of("seed"))}
            AND {is_one_of("of.rolname", roles.those_of("console"))}
        )
        AND (m.admin_option OR NOT allowed)
    GROUP BY member.rolname, of.rolname, allowed
    """,
    )


def _owned_by_application(roles: Roles) -> Rule:
    looks_up = f"; {roles.auth} owns lookup functions only" if roles.auth else ""
    return Rule(
        "owned-by-application",
        "An owner may switch row level security off, grant, and drop. The application's roles own "
        f"nothing{looks_up}.",
        f"""
    SELECT identified.identity AS object,
           format('The %s is owned by %I.', identified.type, app.rolname) AS reason,
           format('ALTER %s %s OWNER TO %I;', upper(identified.type), identified.identity,
                  owner.rolname) AS remedy
    FROM pg_shdepend d
    JOIN pg_roles app ON app.oid = d.refobjid AND d.refclassid = 'pg_authid'::regclass
    CROSS JOIN owner
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS identified
    WHERE d.deptype = 'o'
        AND (
            d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass,
                              'pg_namespace'::regclass)
            OR d.classid = 'pg_database'::regclass
            AND d.objid = (SELECT oid FROM pg_database WHERE datname = current_database())
        )
        AND (
            {is_one_of("app.rolname", (roles.app, *roles.logins))}
            OR {is_one_of("app.rolname", roles.those_of("operator", "reports"))}
            OR {is_one_of("app.rolname", roles.those_of("auth"))}
            AND d.classid <> 'pg_proc'::regclass
        )
    """,
    )
