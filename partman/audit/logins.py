"""The logins that a deployment makes: what their sessions begin with, and who may connect."""

from partman.audit.rule import Rule, is_one_of
from partman.grammar.names import literal
from partman.isolation import Tenancy
from partman.isolation.logins import SESSION


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them. A role that cannot log in is no deployment's yet."""
    return _session_limits(tenancy), _connect(tenancy)


def _session_limits(tenancy: Tenancy) -> Rule:
    # Where search_path may lead, the rule role-settings says.
    wanted = ", ".join(
        f"({literal(name)}, {literal(value)})"
        for name, value in SESSION.items()
        if name != "search_path"
    )
    return Rule(
        "login-settings",
        "Without an idle limit, a request that hangs keeps its locks and its connection for ever; "
        "without a limit for locks, it waits as long for those of another one; with less memory, "
        "the rows of a large tenant are looked at twice.",
        f"""
    SELECT format('%s of ROLE %I', wanted.name, r.rolname) AS object,
           CASE WHEN given.value IS NULL THEN 'Its sessions begin without it.'
                ELSE format('Its sessions begin with %s.', given.value) END AS reason,
           format('ALTER ROLE %I%s SET %s = %L;', r.rolname,
                  CASE WHEN given.setrole <> 0 AND given.setdatabase <> 0
                       THEN format(' IN DATABASE %I', current_database()) END,
                  wanted.name, wanted.value) AS remedy
    FROM pg_roles r
    CROSS JOIN (VALUES {wanted}) AS wanted (name, value)
    LEFT JOIN LATERAL (
        SELECT setrole, setdatabase, substr(entry, strpos(entry, '=') + 1) AS value
        FROM pg_db_role_setting
        CROSS JOIN unnest(setconfig) AS entry
        WHERE split_part(entry, '=', 1) = wanted.name
            AND setrole IN (0, r.oid)
            AND setdatabase IN (
                0, (SELECT oid FROM pg_database WHERE datname = current_database())
            )
        -- The server's order: the role's own setting wins, and that for this database first.
        ORDER BY setrole = 0, setdatabase = 0
        LIMIT 1
    ) AS given ON true
    WHERE r.rolcanlogin AND {is_one_of("r.rolname", tenancy.roles.logins)}
        AND CASE
            WHEN given.value IS NULL THEN true
            WHEN wanted.name = 'work_mem' THEN
                pg_size_bytes(concat(
                    given.value, CASE WHEN given.value ~ '^[0-9]+$' THEN 'kB' END
                )) < pg_size_bytes(wanted.value)
            ELSE given.value !~ '[1-9]'
        END
    """,
    )


def _connect(tenancy: Tenancy) -> Rule:
    logins = tenancy.roles.those_of("api", "seed", "console")
    # The embedded server lets only the application's role log in, and only this machine's user.
    deployed = len(logins) > 1
    return Rule(
        "login-connect",
        "Each login of a deployment may connect to its database, and no other role of the server: "
        "what another application's login may not reach, it cannot try.",
        f"""
    SELECT quote_ident(current_database()) AS object,
           format('%s may not connect, although it may log in.', r.rolname) AS reason,
           format('GRANT CONNECT ON DATABASE %I TO %I;', current_database(), r.rolname) AS remedy
    FROM pg_roles r
    WHERE r.rolcanlogin AND {is_one_of("r.rolname", logins)}
        AND NOT has_database_privilege(r.oid, current_database(), 'CONNECT')
    UNION ALL
    SELECT quote_ident(current_database()), 'Every role of the server may connect.',
           format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC;'
                      ' GRANT CONNECT ON DATABASE %1$I TO %s;',
                  current_database(), {literal(", ".join(logins))})
    WHERE {str(deployed).lower()}
        AND has_database_privilege('public', current_database(), 'CONNECT')
        AND (SELECT count(*) FROM pg_roles
             WHERE rolcanlogin AND {is_one_of("rolname", logins)}) = {len(logins)}
    """,
    )
