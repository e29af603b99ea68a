"""Functions that see more than whoever calls them."""

from collections.abc import Sequence

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return (
        DEFINER_SEARCH_PATH,
        _definer_owner(tenancy.roles.logins, tenancy.roles.auth),
        DEFINER_PUBLIC,
        LEAKPROOF,
        _set_config(tenancy),
    )


def as_its_owner(statement: str) -> str:
    """Return the remedy for routine ``r``: of another's, REVOKE takes nothing and only warns."""
    return f"""
        CASE WHEN pg_get_userbyid(r.proowner) = (SELECT rolname FROM owner) THEN {statement}
             ELSE format(E'SET ROLE %I;\\n%s\\nRESET ROLE;', pg_get_userbyid(r.proowner),
                         {statement}) END AS remedy
    """


DEFINER_SEARCH_PATH = Rule(
    "definer-search-path",
    "Without a search_path of its own, a SECURITY DEFINER function finds the tables of whoever "
    "calls it. Unless pg_temp is named as the last schema, it is the first.",
    f"""
    SELECT r.name AS object,
           'It is SECURITY DEFINER, and its search_path is not pinned, with pg_temp at its end.'
               AS reason,
           {
        as_its_owner(
            "format('ALTER ROUTINE %s SET search_path = %s, pg_temp;', r.name,"
            " coalesce(path.schemas, 'pg_catalog, ' || r.schema))"
        )
    }
    FROM routine r
    LEFT JOIN LATERAL (
        SELECT substr(setting, length('search_path=') + 1) AS value
        FROM unnest(r.proconfig) AS setting WHERE setting LIKE 'search\\_path=%'
    ) AS pinned ON true
    CROSS JOIN LATERAL (
        SELECT string_agg(trim(schema), ', ') AS schemas
        FROM string_to_table(pinned.value, ',') AS schema
        WHERE trim(schema) NOT IN ('pg_temp', '"$user"', '""')
    ) AS path
    WHERE r.prosecdef
        AND (pinned.value IS NULL OR pinned.value !~ 'pg_temp$' OR pinned.value LIKE '%"$user"%')
    """,
)


def _definer_owner(logins: Sequence[str], auth: str | None) -> Rule:
    # What a login was given finds a tenant before one is known, and is for the role of that.
    is_login = is_one_of("pg_get_userbyid(grantee)", logins)
    looks_up = f"EXISTS (SELECT FROM aclexplode(r.proacl) WHERE {is_login})"
    # To be given something in a schema takes the right to make it there.
    given_away = f"""format(
        E'GRANT CREATE ON SCHEMA %1$s TO {auth};\\n'
        'ALTER ROUTINE %2$s OWNER TO {auth};\\n'
        'REVOKE CREATE ON SCHEMA %1$s FROM {auth};', r.schema, r.name)"""
    return Rule(
        "definer-owner",
        "A SECURITY DEFINER function has its owner's rights: a superuser's, or those of a role "
        "that bypasses row level security, reach every tenant.",
        f"""
    SELECT r.name AS object,
           format('It is SECURITY DEFINER, and its owner %I is a superuser or bypasses row level '
                  'security.', rolname) AS reason,
           CASE WHEN {looks_up if auth else "false"} THEN {given_away}
                ELSE format('ALTER ROUTINE %s SECURITY INVOKER;', r.name) END AS remedy
    FROM routine r
    JOIN pg_roles ON pg_roles.oid = r.proowner
    WHERE r.prosecdef AND (rolsuper OR rolbypassrls)
    """,
    )


DEFINER_PUBLIC = Rule(
    "definer-public",
    "PUBLIC may execute every new function. A SECURITY DEFINER function is for those who were "
    "given it.",
    f"""
    SELECT r.name AS object,
           'It is SECURITY DEFINER, and PUBLIC may execute it.' AS reason,
           {as_its_owner("format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC;', r.name)")}
    FROM routine r
    WHERE r.prosecdef AND has_function_privilege('public', r.oid, 'EXECUTE')
    """,
)

LEAKPROOF = Rule(
    "leakproof",
    "PostgreSQL calls a LEAKPROOF function before the policies have taken other tenants' rows "
    "away, on its word that it tells nothing.",
    f"""
    SELECT r.name AS object,
           'It is LEAKPROOF, and not one of PostgreSQL''s own.' AS reason,
           {as_its_owner("format('ALTER ROUTINE %s NOT LEAKPROOF;', r.name)")}
    FROM routine r
    WHERE r.proleakproof
    """,
)


def _set_config(tenancy: Tenancy) -> Rule:
    app, logins = tenancy.roles.app, tenancy.roles.logins
    return Rule(
        "set-config",
        "An expression injected into a query can call set_config and choose its tenant; SET needs "
        "a statement of its own. Only a superuser can take the right away.",
        f"""
    SELECT 'pg_catalog.set_config(text, text, boolean)' AS object,
           '{app} may execute it.' AS reason,
           'REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) '
               || E'FROM PUBLIC, {app};\\n'
               -- pg_dump calls it, and so does the driver when it looks up a type.
               || 'GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) '
               || format('TO %I, %s;', owner.rolname, (
                   SELECT string_agg(role, ', ') FROM actor WHERE {is_one_of("role", logins)}
               )) AS remedy
    FROM owner
    WHERE EXISTS (SELECT FROM actor WHERE role = '{app}')
        AND has_function_privilege(
            '{app}', 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE'
        )
    """,
    )
