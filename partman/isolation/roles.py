"""SQL for the roles of a tenancy, and for the privileges on the database as a whole.

Roles belong to the cluster: another database of it may already have them, or create them at the
same time. Logins and passwords are part of the deployment.
"""

from collections.abc import Sequence

from partman.isolation.tenancy import Tenancy

_BECOME = ("operator", "reports")
"""The kinds of roles that the application's login becomes outside of ``tenant()``."""


def create_roles(tenancy: Tenancy) -> str:
    """Return the statement that creates the missing roles and memberships.

    If the current role may not create them, the statement fails with insufficient_privilege, and
    its hint has the statements for an administrator. If another run changes the roles at the same
    time, it fails as for a lock (lock_not_available): run it again.
    """
    roles = tenancy.roles
    memberships = [
        (roles.app, "current_user", False),
        *((role, "current_user", True) for role in roles.those_of("auth")),
        *((role, "current_user", False) for role in roles.those_of("console", *_BECOME)),
        *((roles.app, f"'{login}'", False) for login in roles.logins),
        *((role, f"'{roles.api}'", False) for role in roles.those_of(*_BECOME)),
    ]
    listed = ",\n            ".join(
        f"('{role}', {member}, {str(inherits).lower()})" for role, member, inherits in memberships
    )
    return f"""\
-- the roles, where they are missing
DO $$
DECLARE
    needed text[];
    statement text;
    -- From PostgreSQL 16 on, to become a role and to have its rights are two things.
    newer boolean := current_setting('server_version_num')::int >= 160000;
    member_of record;
BEGIN
    needed := ARRAY(
        SELECT format('CREATE ROLE %I NOLOGIN NOINHERIT', role)
        FROM unnest('{{{", ".join(roles.all)}}}'::text[]) AS role
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
    );

    FOR member_of IN
        SELECT role, member, inherits FROM (VALUES
            {listed}
        ) AS membership (role, member, inherits)
    LOOP
        -- Of a role that is not there yet, nobody is a member.
        CONTINUE WHEN (
            SELECT count(*) FROM pg_roles WHERE rolname IN (member_of.role, member_of.member)
        ) = 2 AND CASE WHEN newer
            THEN pg_has_role(member_of.member::name, member_of.role, 'SET') AND (
                NOT member_of.inherits
                OR pg_has_role(member_of.member::name, member_of.role, 'USAGE')
            )
            ELSE pg_has_role(member_of.member::name, member_of.role, 'MEMBER')
        END;
        needed := needed || (
            format('GRANT %I TO %I', member_of.role, member_of.member) || CASE WHEN newer
                THEN format(' WITH INHERIT %s, SET TRUE', upper(member_of.inherits::text))
                ELSE ''
            END
        );
    END LOOP;

    needed := needed || ARRAY(
        SELECT format('ALTER DATABASE %I OWNER TO %I', datname, current_user) FROM pg_database
        WHERE datname = current_database() AND NOT pg_has_role(datdba, 'USAGE')
    ) || ARRAY(
        SELECT 'ALTER SCHEMA public OWNER TO pg_database_owner' FROM pg_namespace
        WHERE nspname = 'public' AND NOT pg_has_role(nspowner, 'USAGE')
    );

    FOREACH statement IN ARRAY needed LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not do what the tenant isolation needs', current_user
                USING ERRCODE = 'insufficient_privilege',
                    HINT = 'An administrator runs, in this database: '
                        || array_to_string(needed, '; ') || '. Then run again';
        END;
    END LOOP;
    -- In one step: a role that has rights here is not dropped by a run on another database.
    {grant_usage(tenancy)};
EXCEPTION
    WHEN duplicate_object OR unique_violation OR undefined_object THEN
        -- A run on another database of the cluster made one, or dropped one, just now, and what is
        -- needed is something else than a moment ago. Try again, as for a lock.
        RAISE EXCEPTION 'another run is at work on the roles'
        USING ERRCODE = 'lock_not_available';
END
$$"""


def drop_roles(roles: Sequence[str]) -> str:
    """Return the statement that drops those of the roles that no other database uses.

    ``roles`` are in the order of ``Roles.all``: the app role is dropped after its members.
    """
    return f"""\
-- the roles, where nobody needs them
DO $$
DECLARE
    role name;
BEGIN
    FOREACH role IN ARRAY '{{{", ".join(reversed(roles))}}}'::name[] LOOP
        -- Who may log in as it, or act as it, would lose that without a word.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_roles r WHERE rolname = role AND (rolcanlogin OR EXISTS (
                SELECT FROM pg_auth_members JOIN pg_roles m ON m.oid = member
                WHERE roleid = r.oid AND m.rolname <> current_user
            ))
        );
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN dependent_objects_still_exist OR undefined_object OR insufficient_privilege
                OR internal_error THEN
                NULL;  -- another database needs it, or has just dropped it
        END;
    END LOOP;
END
$$"""


def grant_usage(tenancy: Tenancy, schema: str = "public") -> str:
    """Return the statement that grants the roles USAGE on a schema."""
    return f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(tenancy.roles.all)}"


def revoke_usage(roles: Sequence[str]) -> str:
    """Return the statement that revokes all privileges on the schema from the roles."""
    return f"REVOKE ALL ON SCHEMA public FROM {', '.join(roles)}"


_REVOKE_TEMPORARY = """\
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$"""


def database_extras(tenancy: Tenancy) -> tuple[str, ...]:
    """Return the statements for the database as a whole: roles, and the privileges of PUBLIC.

    They run before the tables are created.
    """
    return (
        create_roles(tenancy),
        # A temporary table could hide a real one on a connection that others use afterwards.
        _REVOKE_TEMPORARY,
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        grant_usage(tenancy),
    )


_SET_CONFIG = "FUNCTION pg_catalog.set_config(text, text, boolean)"
_IS_SUPERUSER = "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
_CAN_GRANT_IT = (
    "has_function_privilege(\n"
    "        'pg_catalog.set_config(text, text, boolean)', 'EXECUTE WITH GRANT OPTION'\n"
    "    )"
)


def restrict_set_config() -> tuple[str, str]:
    """Return the statements that revoke set_config from PUBLIC if possible, and that undo it.

    Injected SQL could choose its tenant with this function. It belongs to a superuser; for other
    roles the statement does nothing.
    """
    title = "EXECUTE on set_config: PUBLIC"
    return (
        _where(_IS_SUPERUSER, f"REVOKE EXECUTE ON {_SET_CONFIG} FROM PUBLIC", title),
        _where(_IS_SUPERUSER, f"GRANT EXECUTE ON {_SET_CONFIG} TO PUBLIC", title),
    )


def let_set_config(logins: Sequence[str]) -> tuple[str, str]:
    """Return the statements that let the logins call set_config, and that undo it.

    The driver needs it to look up types. If a superuser has set up the database, its owner may pass
    on the granted privilege.
    """
    title, names = "EXECUTE on set_config: the logins", ", ".join(logins)
    return (
        _where(_CAN_GRANT_IT, f"GRANT EXECUTE ON {_SET_CONFIG} TO {names}", title),
        _where(_CAN_GRANT_IT, f"REVOKE EXECUTE ON {_SET_CONFIG} FROM {names}", title),
    )


def let_read(readers: Sequence[str], tables: Sequence[str]) -> tuple[str, str]:
    """Return the statements that let roles read tables, and that undo it."""
    listed, names = ", ".join(tables), ", ".join(readers)
    return f"GRANT SELECT ON {listed} TO {names}", f"REVOKE SELECT ON {listed} FROM {names}"


def _where(condition: str, statement: str, title: str) -> str:
    return f"""\
-- {title}
DO $$
BEGIN
    IF {condition} THEN
        {statement};
    END IF;
END
$$"""
