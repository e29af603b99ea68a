"""The roles themselves: what no policy could keep from them."""

from partman.audit.rule import Rule

_OURS = "('partman_app', 'partman_api', 'partman_auth', 'partman_console')"

ROLE_ATTRIBUTES = Rule(
    "role-attributes",
    "No policy binds a superuser or a role with BYPASSRLS; one with CREATEROLE or CREATEDB makes "
    "itself another, and one with REPLICATION copies the whole server.",
    f"""
    SELECT quote_ident(rolname) AS object,
           format('The role has %s.', string_agg(attribute, ', ')) AS reason,
           format('ALTER ROLE %I %s;', rolname, string_agg('NO' || attribute, ' ')) AS remedy
    FROM pg_roles
    CROSS JOIN LATERAL (
        VALUES ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls), ('CREATEROLE', rolcreaterole),
               ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)
    ) AS given (attribute, has)
    WHERE rolname IN {_OURS} AND has
    GROUP BY rolname
    """,
)

ROLE_INHERITS = Rule(
    "role-inherits",
    "A login that inherits partman_app has its rights outside of tenant() as well.",
    """
    SELECT quote_ident(rolname) AS object,
           'The login inherits the rights of partman_app, or would inherit those of its next role.'
               AS reason,
           format('ALTER ROLE %I NOINHERIT;', rolname)
               -- From PostgreSQL 16 on it is the membership that says so.
               || coalesce((
                   SELECT string_agg(format(
                       E'\\nGRANT partman_app TO %I WITH INHERIT FALSE GRANTED BY %I;',
                       rolname, pg_get_userbyid(m.grantor)), '' ORDER BY m.grantor)
                   FROM pg_auth_members m
                   WHERE m.roleid = 'partman_app'::regrole AND m.member = login.oid
                       AND (to_jsonb(m) ->> 'inherit_option')::boolean
               ), '') AS remedy
    FROM pg_roles login
    WHERE rolname IN ('partman_api', 'partman_console') AND NOT rolsuper
        AND (rolinherit OR pg_has_role(rolname, 'partman_app', 'USAGE'))
    """,
)

ROLE_MEMBERSHIP = Rule(
    "role-membership",
    "What a role is a member of, it can become: partman_api and partman_console may become "
    "partman_app, and nothing else; none may pass the membership on, and none become the console.",
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
        SELECT member.rolname IN ('partman_api', 'partman_console')
               AND of.rolname = 'partman_app' AS allowed
    ) AS rule
    WHERE (member.rolname IN {_OURS}
            OR member.rolname = 'partman_seed' AND of.rolname = 'partman_console')
        AND (m.admin_option OR NOT allowed)
    GROUP BY member.rolname, of.rolname, allowed
    """,
)

OWNED_BY_APPLICATION = Rule(
    "owned-by-application",
    "An owner may switch row level security off, grant, and drop. The application's roles own "
    "nothing; partman_auth owns the lookup function only.",
    """
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
            app.rolname IN ('partman_app', 'partman_api', 'partman_console')
            OR app.rolname = 'partman_auth' AND d.classid <> 'pg_proc'::regclass
        )
    """,
)

RULES = (ROLE_ATTRIBUTES, ROLE_INHERITS, ROLE_MEMBERSHIP, OWNED_BY_APPLICATION)
