-- The logins, and the roles behind them; run by psql as a superuser, in the database itself:
--
--   psql --file docker/roles.sql "postgresql://postgres@host/partman"
--
-- It can be run repeatedly: it creates missing roles, and sets the passwords from the
-- environment (PARTMAN_OWNER_PASSWORD, PARTMAN_API_PASSWORD, PARTMAN_SEED_PASSWORD,
-- PARTMAN_CONSOLE_PASSWORD). The migrations grant privileges on tables. See docs/tenancy.md.
\set ON_ERROR_STOP on
\set QUIET on
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE '% is no superuser, and may not do all of this. Nothing was changed.', current_user
        USING HINT = format('psql --file docker/roles.sql "postgresql://postgres@host/%s"',
            current_database());
    END IF;
END
$$;
SET client_min_messages = 'warning'; -- not what was already granted
-- No password in the server's log.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

\getenv owner_password PARTMAN_OWNER_PASSWORD
\getenv api_password PARTMAN_API_PASSWORD
\getenv seed_password PARTMAN_SEED_PASSWORD
\getenv console_password PARTMAN_CONSOLE_PASSWORD
SELECT :{?owner_password} AND :{?api_password} AND :{?seed_password} AND :{?console_password}
    AS complete \gset
\if :complete
\else
DO $$ BEGIN RAISE 'A password is missing in the environment. Nothing was changed.'; END $$;
\endif

-- Who has run the migrations goes on running them: its login stays as it is.
SELECT coalesce((
    SELECT rolname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner
    WHERE pg_class.oid = to_regclass('public.migration')
), 'partman_owner') AS owner \gset
SELECT :'owner' = 'partman_owner' AS owner_is_made_here \gset
DO $$
DECLARE
    other name;
BEGIN
    SELECT rolname INTO other FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner
    WHERE pg_class.oid = to_regclass('public.migration')
        AND rolname IN ('partman_app', 'partman_api', 'partman_auth', 'partman_seed',
            'partman_console', 'partman_operator', 'partman_reports');
    IF FOUND THEN
        RAISE 'The tables belong to %, whose rights are to be limited. Nothing was changed.', other
        USING HINT = format('CREATE ROLE partman_owner; REASSIGN OWNED BY %I TO partman_owner. '
            'Then run this again.', other);
    END IF;
END
$$;

SELECT format('CREATE ROLE %I', name) FROM unnest(
    '{partman_app, partman_api, partman_auth, partman_seed, partman_console, partman_operator,
      partman_reports}'::text[] || :'owner'::text
) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

BEGIN;
\if :owner_is_made_here
-- Runs the migrations and owns the objects they create. A backfill has to see all rows.
ALTER ROLE partman_owner LOGIN BYPASSRLS NOSUPERUSER NOCREATEROLE PASSWORD :'owner_password';
\endif
-- The role of the API's statements inside tenant(). It cannot log in.
ALTER ROLE partman_app NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB;
ALTER ROLE partman_auth NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB;
-- The API becomes these to work on whole organizations, and to read reports. They cannot log in.
ALTER ROLE partman_operator NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB;
ALTER ROLE partman_reports NOLOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB;
-- It has no privileges of its own: without tenant() a query fails with "permission denied".
ALTER ROLE partman_api LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB
    PASSWORD :'api_password';
-- It uses its own tables directly, and an organization's rows only inside tenant().
ALTER ROLE partman_console LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB
    PASSWORD :'console_password';
SELECT format('ALTER ROLE %I SET %s', name, setting)
FROM unnest(ARRAY['partman_api', 'partman_console']) AS name
CROSS JOIN unnest(ARRAY[
    $$idle_in_transaction_session_timeout = '30s'$$,
    $$lock_timeout = '5s'$$,
    -- Enough for the bitmap of a large organization's rows: see docs/tenancy.md, "What it costs".
    $$work_mem = '16MB'$$,
    'search_path = public'
]) AS setting
\gexec
ALTER ROLE partman_seed LOGIN BYPASSRLS NOSUPERUSER NOCREATEROLE PASSWORD :'seed_password';

GRANT partman_app TO partman_api, partman_console;
GRANT partman_operator, partman_reports TO partman_api;
GRANT partman_auth TO :"owner";
-- The owner may switch to these roles, but does not inherit them; PostgreSQL 16 can express that.
SELECT format('GRANT partman_app, partman_console, partman_operator, partman_reports TO %I', :'owner')
    || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT FALSE, SET TRUE'
    ELSE '' END
\gexec

ALTER DATABASE :"DBNAME" OWNER TO :"owner";
REVOKE CONNECT, TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO partman_api, partman_seed, partman_console;
-- Injected SQL could choose its tenant with this function.
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)
    TO :"owner", partman_api, partman_seed, partman_console;
COMMIT;
