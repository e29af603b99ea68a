"""Settings that sessions begin with: they act before the application has said anything."""

from partman.audit.rule import Rule, is_one_of
from partman.grammar.names import literal
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return _role_settings(tenancy), _parameter_rights(tenancy)


_ELSEWHERE = """(
    SELECT string_agg(element, ', ') FROM (
        SELECT trim(both ' "' FROM word) AS element FROM string_to_table(value, ',') AS word
    ) AS words
    WHERE element NOT IN ('', 'pg_catalog', 'pg_temp')
        AND element NOT IN (
            SELECT s.nspname FROM tenant t
            JOIN pg_class c ON c.oid = t.oid
            JOIN user_schema s ON s.oid = c.relnamespace
        )
        AND element NOT IN (
            SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
        )
        -- Harmless while no schema has the name of a login.
        AND NOT (element = '$user' AND NOT EXISTS (
            SELECT FROM user_schema WHERE {is_login}
        ))
)"""


def _role_settings(tenancy: Tenancy) -> Rule:
    roles = tenancy.roles
    elsewhere = _ELSEWHERE.format(is_login=is_one_of("nspname", roles.logins))
    return Rule(
        "role-settings",
        "What ALTER ROLE or ALTER DATABASE sets, a session begins with: as another role or in a "
        "tenant, a forgotten tenant() is a leak; with another search_path, other tables have the "
        "names; as a replica, no foreign key is checked.",
        f"""
    SELECT format('%s of %s', name, whose) AS object,
           CASE name
               WHEN 'search_path'
               THEN format('It leads to %s, where no tenant table is.', {elsewhere})
               ELSE format('Sessions begin with %s = %s.', name, value)
           END AS reason,
           format('ALTER %s RESET %s;', whose, name) AS remedy
    FROM (
        SELECT split_part(entry, '=', 1) AS name, substr(entry, strpos(entry, '=') + 1) AS value,
               CASE
                   WHEN setrole = 0 AND setdatabase = 0 THEN 'ROLE ALL'
                   WHEN setrole = 0 THEN format('DATABASE %I', current_database())
                   WHEN setdatabase = 0 THEN format('ROLE %I', r.rolname)
                   ELSE format('ROLE %I IN DATABASE %I', r.rolname, current_database())
               END AS whose
        FROM pg_db_role_setting
        CROSS JOIN unnest(setconfig) AS entry
        LEFT JOIN pg_roles r ON r.oid = setrole
        CROSS JOIN owner
        WHERE setdatabase IN (
                0, (SELECT oid FROM pg_database WHERE datname = current_database())
            )
            AND (
                setrole = 0 OR {is_one_of("r.rolname", roles.all)}
                OR NOT r.rolsuper AND r.rolname <> owner.rolname
                    AND pg_has_role(r.oid, '{roles.app}', 'MEMBER')
            )
    ) AS set_for
    WHERE name = 'role' AND NOT {is_one_of("value", ("none", *roles.logins))}
        OR name IN ('session_authorization', {literal(tenancy.setting)})
        OR name = 'row_security' AND lower(value) IN ('off', 'false', 'no', '0', 'f', 'n', 'of')
        OR name = 'session_replication_role' AND value <> 'origin'
        OR name = 'lo_compat_privileges' AND lower(value) NOT IN ('off', 'false', 'no', '0')
        OR name = 'search_path' AND {elsewhere} IS NOT NULL
    """,
    )


_SWITCHES = ("session_replication_role", "lo_compat_privileges", "allow_system_table_mods")
_LOADS_CODE = ("session_preload_libraries", "shared_preload_libraries", "dynamic_library_path")


def _parameter_rights(tenancy: Tenancy) -> Rule:
    roles = tenancy.roles
    return Rule(
        "parameter-rights",
        "A parameter that takes a GRANT to be set is a superuser's: session_replication_role "
        "switches triggers and foreign keys off, others load code. The application's roles have "
        "none, and only the owner has one of these.",
        f"""
    SELECT parname AS object,
           format('%s may change it.', string_agg(DISTINCT grantee_name, ', ')) AS reason,
           string_agg(DISTINCT format('REVOKE %s ON PARAMETER %s FROM %s;', privilege_type,
                                      parname, grantee_name), E'\\n') AS remedy
    FROM (
        SELECT parname, privilege_type, grantee, CASE grantee WHEN 0 THEN 'PUBLIC'
                   ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee_name
        FROM pg_parameter_acl
        CROSS JOIN LATERAL aclexplode(paracl)
        WHERE parname <> {literal(tenancy.setting)}
            AND NOT EXISTS (
                SELECT FROM pg_settings WHERE lower(name) = parname AND context = 'user'
            )
    ) AS given
    CROSS JOIN owner
    WHERE grantee = 0
        OR EXISTS (
            SELECT FROM pg_roles r
            WHERE grantee <> 0 AND NOT r.rolsuper AND pg_has_role(r.oid, grantee, 'USAGE')
                AND r.rolname <> owner.rolname
                AND (
                    {is_one_of("r.rolname", roles.all)}
                    OR {is_one_of("parname", (*_SWITCHES, *_LOADS_CODE))}
                )
        )
    GROUP BY parname
    """,
    )
