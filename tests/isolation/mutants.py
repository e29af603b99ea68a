"""Remove every protection of a database in turn; the statements are derived from its catalog.

A query returns the mutants of a kind: a name, the statements, and the affected table, if there is
one.
"""

from dataclasses import dataclass

from tests.isolation.tables import CONSOLE, TENANTS, Connection
from tests.summary import stride


@dataclass(frozen=True)
class Mutant:
    """A database with one protection removed."""

    name: str
    sql: str
    table: str | None
    """The table whose cells can show the effect."""


@dataclass(frozen=True)
class Kind:
    """Mutants of one kind."""

    name: str
    query: str
    superuser: bool = False
    """Whether only a superuser can create the mutant."""
    usual: int = 1
    """The step width in a run that is not thorough."""

    async def mutants(self, connection: Connection) -> list[Mutant]:
        rows = await connection.fetch(f"{_COMMON} {self.query}")
        assert rows, f"the catalog has no {self.name}"
        return [Mutant(row[0], row[1], row[2]) for row in rows][:: stride(self.usual)]


_COMMON = f"""
WITH relation AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p')
),
tenant AS (
    SELECT r.oid, r.name, r.relname, quote_ident(a.attname) AS key, a.attnum AS key_number
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped
        AND a.attname = CASE r.relname WHEN '{TENANTS}' THEN 'id' ELSE 'organization_id' END
    WHERE r.relname NOT IN {CONSOLE}
),
policy AS (
    SELECT t.name AS on_table, quote_ident(p.polname) AS name, p.polpermissive,
           coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') AS qual,
           coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') AS "check",
           CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                         WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END AS command,
           (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', ')
            FROM unnest(p.polroles) AS role) AS roles
    FROM pg_policy p JOIN tenant t ON t.oid = p.polrelid
),
ours AS (
    SELECT unnest('{{partman_app, partman_api, partman_auth, partman_console}}'::name[]) AS role
),
application AS (
    SELECT unnest('{{partman_app, partman_api, partman_console, public}}'::name[]) AS role
),
privilege AS (
    SELECT unnest(
        '{{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}}'::text[]
        || CASE WHEN current_setting('server_version_num')::int >= 170000
           THEN '{{MAINTAIN}}'::text[] END
    ) AS privilege
),
reference AS (
    SELECT k.oid, k.conrelid, k.conkey, k.confrelid, k.confdeltype, quote_ident(k.conname) AS name,
           t.name AS on_table, r.name AS referred,
           (SELECT string_agg(quote_ident(attname), ', ' ORDER BY n)
            FROM unnest(k.conkey) WITH ORDINALITY AS u (number, n)
            JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number
            WHERE number <> t.key_number) AS here,
           (SELECT string_agg(quote_ident(attname), ', ' ORDER BY n)
            FROM unnest(k.confkey) WITH ORDINALITY AS u (number, n)
            JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number
            WHERE number <> r.key_number) AS there
    FROM pg_constraint k
    JOIN tenant t ON t.oid = k.conrelid
    JOIN tenant r ON r.oid = k.confrelid
    WHERE k.contype = 'f'
),
definer AS (
    SELECT p.oid::regprocedure::text AS name
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)
"""

_POLICIES = (
    Kind(
        "dropped policies",
        """
        SELECT format('drop %s on %s', name, on_table),
               format('DROP POLICY %s ON %s', name, on_table), on_table
        FROM policy
        -- Without theirs, these two see nothing.
        WHERE roles NOT IN ('partman_operator', 'partman_reports')
        """,
    ),
    Kind(
        "restrictive policies made permissive",
        """
        SELECT format('%s on %s permissive', name, on_table),
               format('DROP POLICY %1$s ON %2$s; CREATE POLICY %1$s ON %2$s AS PERMISSIVE FOR %3$s'
                      ' TO %4$s USING (%5$s) WITH CHECK (%6$s)',
                      name, on_table, command, roles, qual, "check"), on_table
        FROM policy WHERE NOT polpermissive
        """,
    ),
    Kind(
        "policies' USING made true",
        """
        SELECT format('%s on %s using true', name, on_table),
               format('ALTER POLICY %s ON %s USING (true)', name, on_table), on_table
        FROM policy WHERE qual <> 'true'
        """,
    ),
    Kind(
        "policies' WITH CHECK made true",
        """
        SELECT format('%s on %s with check true', name, on_table),
               format('ALTER POLICY %s ON %s WITH CHECK (true)', name, on_table), on_table
        FROM policy WHERE "check" <> 'true'
        """,
    ),
    Kind(
        "policies that look the other way when there is no tenant",
        """
        SELECT format('%s on %s lenient', name, on_table),
               format('ALTER POLICY %1$s ON %2$s USING (%3$s IS NOT FALSE)'
                      ' WITH CHECK (%3$s IS NOT FALSE)', name, on_table,
                      replace(qual, '''partman.organization_id''::text',
                              '''partman.organization_id'', true')), on_table
        FROM policy WHERE NOT polpermissive
        """,
    ),
    Kind(
        "policies for others",
        """
        SELECT format('%s on %s to %s', name, on_table, other),
               format('ALTER POLICY %s ON %s TO %s', name, on_table, other), on_table
        FROM policy
        CROSS JOIN unnest(
            '{PUBLIC, partman_api, partman_auth, partman_seed, partman_console}'::text[]
        ) AS other
        WHERE roles <> other AND NOT (other = 'PUBLIC' AND NOT polpermissive)
            -- It bypasses policies, and has rights on all of the rows.
            AND NOT (other = 'partman_seed' AND roles IN ('partman_operator', 'partman_reports'))
        """,
        usual=3,
    ),
    Kind(
        "row level security off",
        """
        SELECT format('%s disabled', name),
               format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', name), name FROM tenant
        """,
    ),
    Kind(
        "row level security not forced",
        """
        SELECT format('%s not forced', name),
               format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', name), name FROM tenant
        """,
    ),
)

_RIGHTS = (
    Kind(
        "rights to columns made rights to the table",
        """
        SELECT DISTINCT format('%s on %s to %s', privilege_type, r.name, grantee::regrole),
               format('GRANT %s ON %s TO %s', privilege_type, r.name, grantee::regrole), r.name
        FROM relation r
        JOIN pg_attribute a ON a.attrelid = r.oid
        CROSS JOIN aclexplode(a.attacl) AS given
        """,
    ),
    Kind(
        "rights to tables",
        """
        SELECT format('%s on %s to %s', privilege, r.name, role),
               format('GRANT %s ON %s TO %s', privilege, r.name, role), r.name
        FROM relation r
        CROSS JOIN application
        CROSS JOIN privilege
        WHERE NOT has_table_privilege(role, r.oid, privilege)
        """,
        usual=7,
    ),
    Kind(
        "rights to columns",
        """
        SELECT format('%s (%I) on %s to %s', privilege, a.attname, t.name, role),
               format('GRANT %s (%I) ON %s TO %s', privilege, a.attname, t.name, role), t.name
        FROM tenant t
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
        CROSS JOIN application
        CROSS JOIN unnest('{SELECT, INSERT, UPDATE, REFERENCES}'::text[]) AS privilege
        WHERE NOT has_column_privilege(role, t.oid, a.attnum, privilege)
            -- A lone column stands for the others, but for those that say whose row it is.
            AND (a.attname IN ('id', 'organization_id') OR role = 'partman_app')
        """,
        usual=7,
    ),
    Kind(
        "rights to what the console keeps",
        """
        SELECT format('%s on %s to %s', privilege, r.name, role),
               format('GRANT %s ON %s TO %s', privilege, r.name, role), r.name
        FROM relation r
        CROSS JOIN privilege
        CROSS JOIN unnest('{partman_seed, partman_auth}'::name[]) AS role
        WHERE r.relname IN ('console_accounts', 'console_sessions')
        UNION ALL
        SELECT format('%s (%I) on %s to %s', privilege, attname, r.name, role),
               format('GRANT %s (%I) ON %s TO %s', privilege, attname, r.name, role), r.name
        FROM relation r
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        CROSS JOIN (
            SELECT role FROM ours UNION SELECT unnest('{public, partman_seed}'::name[])
        ) AS whom
        CROSS JOIN unnest('{SELECT, INSERT, UPDATE, REFERENCES}'::text[]) AS privilege
        WHERE r.relname IN ('console_accounts', 'console_sessions')
            AND NOT has_column_privilege(role, r.oid, attnum, privilege)
        """,
        usual=11,
    ),
    Kind(
        "rights by default",
        """
        SELECT format('%s on new %s to %s', privilege, what, role),
               format('ALTER DEFAULT PRIVILEGES GRANT %s ON %s TO %s', privilege, what, role), NULL
        FROM application
        CROSS JOIN (
            VALUES ('SELECT', 'TABLES'), ('INSERT', 'TABLES'), ('USAGE', 'SEQUENCES')
        ) AS possible (privilege, what)
        """,
    ),
)

_KEYS = (
    Kind(
        "references without the tenant",
        """
        SELECT format('%s on %s without the tenant', name, on_table),
               format('ALTER TABLE %s DROP CONSTRAINT %s,'
                      ' ADD FOREIGN KEY (%s) REFERENCES %s (%s)%s',
                      on_table, name, here, referred, there,
                      CASE confdeltype WHEN 'c' THEN ' ON DELETE CASCADE'
                                       WHEN 'n' THEN ' ON DELETE SET NULL' END), on_table
        FROM reference WHERE here IS NOT NULL
        """,
    ),
    Kind(
        "references dropped",
        """
        SELECT format('%s on %s dropped', name, on_table),
               format('ALTER TABLE %s DROP CONSTRAINT %s', on_table, name), on_table
        FROM reference WHERE here IS NOT NULL
        """,
    ),
    Kind(
        "references that clear the tenant",
        """
        SELECT format('%s on %s clears the tenant', name, on_table),
               format('ALTER TABLE %s DROP CONSTRAINT %s, ADD %s', on_table, name,
                      regexp_replace(pg_get_constraintdef(oid), ' ON DELETE .*', '')
                      || ' ON DELETE SET NULL'), on_table
        FROM reference
        """,
    ),
    Kind(
        "keys that references need",
        """
        SELECT DISTINCT format('%s on %s dropped', k.conname, t.name),
               format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', t.name, k.conname),
               r.on_table
        FROM reference r
        JOIN pg_constraint f ON f.oid = r.oid
        JOIN pg_constraint k ON k.conindid = f.conindid AND k.contype IN ('p', 'u')
            AND k.conrelid = f.confrelid
        JOIN tenant t ON t.oid = k.conrelid
        WHERE r.here IS NOT NULL
        """,
    ),
    Kind(
        "indexes that references need",
        """
        SELECT format('no index for %s on %s', r.name, r.on_table),
               string_agg(
                   coalesce('ALTER TABLE ' || r.on_table || ' DROP CONSTRAINT '
                                || quote_ident(k.conname) || ' CASCADE',
                            'DROP INDEX ' || i.indexrelid::regclass), '; '), NULL
        FROM reference r
        JOIN pg_index i ON i.indrelid = r.conrelid
            AND (i.indkey::int2[])[0:cardinality(r.conkey) - 1] = r.conkey
        LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
        GROUP BY r.name, r.on_table
        """,
    ),
    Kind(
        "unique keys without the tenant",
        """
        SELECT format('%I on %s without the tenant', k.conname, t.name),
               format('ALTER TABLE %s ADD UNIQUE NULLS NOT DISTINCT (%s)', t.name,
                      (SELECT string_agg(quote_ident(attname), ', ')
                       FROM pg_attribute WHERE attrelid = t.oid AND attnum = ANY (k.conkey)
                           AND attnum <> t.key_number)), t.name
        FROM pg_constraint k
        JOIN tenant t ON t.oid = k.conrelid AND t.key_number = ANY (k.conkey)
        WHERE k.contype = 'u'
            -- What is left of a key that references need is the primary key.
            AND NOT EXISTS (
                SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = k.conindid
            )
        """,
    ),
)

_AROUND = (
    Kind(
        "rights to the database",
        """
        SELECT format('%s on the database to %s', privilege, role),
               format('GRANT %s ON DATABASE %I TO %s', privilege, current_database(), role), NULL
        FROM application CROSS JOIN unnest('{TEMPORARY, CREATE}'::text[]) AS privilege
        """,
    ),
    Kind(
        "rights to the schema",
        """
        SELECT format('%s on schema public to %s', privilege, role),
               format('GRANT %s ON SCHEMA public TO %s', privilege, role), NULL
        FROM application CROSS JOIN unnest('{CREATE, USAGE}'::text[]) AS privilege
        WHERE NOT has_schema_privilege(role, 'public', privilege)
        """,
    ),
    Kind(
        "new ways to the rows",
        """
        SELECT format('%s %s', new.name, t.name), format(new.sql, t.name), NULL
        FROM tenant t
        CROSS JOIN (VALUES
            ('a view of', 'CREATE VIEW v AS SELECT * FROM %1$s; GRANT SELECT ON v TO partman_app'),
            ('an updatable view of', 'CREATE VIEW v AS SELECT * FROM %1$s;'
                ' GRANT UPDATE ON v TO partman_app'),
            ('a materialized view of', 'CREATE MATERIALIZED VIEW v AS SELECT * FROM %1$s;'
                ' GRANT SELECT ON v TO partman_app'),
            ('an unprotected copy of', 'CREATE TABLE copy (LIKE %1$s INCLUDING ALL);'
                ' GRANT SELECT ON copy TO partman_app'),
            ('a copy without tenants of', 'CREATE TABLE copy AS SELECT 1 FROM %1$s;'
                ' GRANT SELECT ON copy TO partman_app'),
            ('a table that inherits', 'CREATE TABLE copy () INHERITS (%1$s);'
                ' GRANT SELECT ON copy TO partman_app'),
            ('a function of the owner for', 'CREATE FUNCTION f() RETURNS SETOF %1$s LANGUAGE sql'
                ' SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ''SELECT * FROM %1$s'';'
                ' REVOKE EXECUTE ON FUNCTION f FROM PUBLIC;'
                ' GRANT EXECUTE ON FUNCTION f TO partman_app')
        ) AS new (name, sql)
        """,
        usual=3,
    ),
    Kind(
        "functions with their owner's rights",
        """
        SELECT format('%s %s', d.name, made.name), format(made.sql, d.name), NULL
        FROM definer d
        CROSS JOIN (VALUES
            ('without search_path', 'ALTER ROUTINE %s RESET search_path'),
            ('with pg_temp first', 'ALTER ROUTINE %s SET search_path = pg_catalog'),
            ('with the caller''s schema', 'ALTER ROUTINE %s SET search_path = "$user", pg_temp'),
            ('for PUBLIC', 'GRANT EXECUTE ON ROUTINE %s TO PUBLIC'),
            ('for partman_app', 'GRANT EXECUTE ON ROUTINE %s TO partman_app'),
            ('of the owner', 'ALTER ROUTINE %s OWNER TO CURRENT_USER')
        ) AS made (name, sql)
        UNION ALL
        SELECT format('%s with its owner''s rights', p.oid::regprocedure),
               format('ALTER ROUTINE %s SECURITY DEFINER', p.oid::regprocedure), NULL
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND NOT p.prosecdef
        """,
        superuser=True,
    ),
    Kind(
        "functions of the server",
        """
        SELECT format('set_config for %s', role),
               format('GRANT EXECUTE ON FUNCTION pg_catalog.set_config TO %s', role), NULL
        FROM unnest('{public, partman_app}'::name[]) AS role
        WHERE NOT has_function_privilege(
            role, 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE'
        )
        UNION ALL
        SELECT format('%s leakproof', p.oid::regprocedure),
               format('ALTER ROUTINE %s LEAKPROOF', p.oid::regprocedure), NULL
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        """,
        superuser=True,
    ),
)

_ROLES = (
    Kind(
        "attributes of roles",
        """
        SELECT format('%s %s', role, attribute), format('ALTER ROLE %s %s', role, attribute), NULL
        FROM ours
        CROSS JOIN unnest(
            '{SUPERUSER, BYPASSRLS, CREATEROLE, CREATEDB, REPLICATION}'::text[]
        ) AS attribute
        UNION ALL
        SELECT format('%s INHERIT', login), format('ALTER ROLE %s INHERIT', login), NULL
        FROM unnest('{partman_api, partman_console}'::text[]) AS login
        """,
        superuser=True,
        usual=3,
    ),
    Kind(
        "memberships of roles",
        """
        SELECT format('%s in %s', role, rolname), format('GRANT %I TO %I', rolname, role), NULL
        FROM ours CROSS JOIN pg_roles r
        WHERE role <> rolname AND NOT (
            role IN ('partman_api', 'partman_console') AND rolname = 'partman_app'
            OR role = 'partman_api' AND rolname IN ('partman_operator', 'partman_reports')
        )
            -- A superuser is in every role, and no role in one that is in it.
            AND (rolsuper OR NOT pg_has_role(r.oid, role, 'MEMBER')) AND NOT rolsuper
            AND (rolname !~ '^pg_' OR rolname ~ '^pg_(read|write|execute|monitor)')
            AND rolname <> 'pg_database_owner'
        UNION ALL
        SELECT format('%s may pass partman_app on', login),
               format('GRANT partman_app TO %s WITH ADMIN OPTION', login), NULL
        FROM unnest('{partman_api, partman_console}'::text[]) AS login
        UNION ALL
        SELECT 'partman_seed in partman_console', 'GRANT partman_console TO partman_seed', NULL
        """,
        superuser=True,
        usual=3,
    ),
    Kind(
        "tables owned by the application",
        """
        SELECT format('%s of %s', r.name, role), format('ALTER TABLE %s OWNER TO %s', r.name, role),
               r.name
        FROM relation r CROSS JOIN ours
        """,
        superuser=True,
        usual=4,
    ),
)

KINDS = (*_POLICIES, *_RIGHTS, *_KEYS, *_AROUND, *_ROLES)
