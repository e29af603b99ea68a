-- Roles and rights: on every node
DO $$
DECLARE
    role text;
    command regprocedure;
BEGIN
    PERFORM pg_catalog.set_config('citus.enable_ddl_propagation', 'off', true);
    FOREACH role IN ARRAY ARRAY['partman_app', 'partman_api', 'partman_auth', 'partman_seed', 'partman_console', 'partman_operator', 'partman_reports'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role);
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY['partman_app', 'partman_seed', 'partman_operator', 'partman_reports', 'partman_owner'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = role AND NOT rolcanlogin) THEN
            EXECUTE format('ALTER ROLE %I LOGIN', role);
        END IF;
        IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO partman_app, partman_api, partman_auth, partman_seed, partman_console, partman_operator, partman_reports;
    IF NOT has_schema_privilege('partman_owner', 'public', 'CREATE') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO partman_owner;
    END IF;
    REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean)
        TO partman_api, partman_console, partman_owner;
    FOR command IN
        SELECT p.oid::regprocedure FROM pg_proc p
        JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND deptype = 'e'
        JOIN pg_extension e ON e.oid = d.refobjid AND extname = 'citus'
        WHERE proname ~ '^(run_command_on_|master_run_on_worker$|citus_run_local_|worker_apply_)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', command);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO partman_owner', command);
    END LOOP;
END
$$;
-- Indexes of the new primary keys: outside of a transaction
CREATE UNIQUE INDEX CONCURRENTLY alerts_pkey_distributed ON public.alerts (organization_id, id);
CREATE UNIQUE INDEX CONCURRENTLY opportunities_pkey_distributed ON public.opportunities (organization_id, id);
CREATE UNIQUE INDEX CONCURRENTLY partners_pkey_distributed ON public.partners (organization_id, id);
CREATE UNIQUE INDEX CONCURRENTLY quarterly_goals_pkey_distributed ON public.quarterly_goals (organization_id, id);
CREATE UNIQUE INDEX CONCURRENTLY users_pkey_distributed ON public.users (organization_id, id);
-- The switch: in one transaction
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
SET LOCAL citus.enable_unsafe_triggers = on;
LOCK TABLE public.alerts, public.console_accounts, public.console_sessions, public.opportunities, public.organizations, public.partners, public.quarterly_goals, public.users IN ACCESS EXCLUSIVE MODE;
ALTER TABLE public.alerts DROP CONSTRAINT alerts_organization_id_fkey, DROP CONSTRAINT alerts_organization_id_user_id_fkey;
ALTER TABLE public.console_accounts DROP CONSTRAINT console_accounts_organization_id_fkey;
ALTER TABLE public.console_sessions DROP CONSTRAINT console_sessions_organization_id_fkey;
ALTER TABLE public.opportunities DROP CONSTRAINT opportunities_organization_id_assigned_user_id_fkey, DROP CONSTRAINT opportunities_organization_id_fkey, DROP CONSTRAINT opportunities_organization_id_partner_id_fkey;
ALTER TABLE public.partners DROP CONSTRAINT partners_organization_id_fkey;
ALTER TABLE public.quarterly_goals DROP CONSTRAINT quarterly_goals_organization_id_fkey, DROP CONSTRAINT quarterly_goals_organization_id_user_id_fkey;
ALTER TABLE public.users DROP CONSTRAINT users_organization_id_fkey;
ALTER TABLE public.alerts DROP CONSTRAINT alerts_pkey, ADD CONSTRAINT alerts_pkey PRIMARY KEY USING INDEX alerts_pkey_distributed;
ALTER TABLE public.opportunities DROP CONSTRAINT opportunities_pkey, ADD CONSTRAINT opportunities_pkey PRIMARY KEY USING INDEX opportunities_pkey_distributed;
ALTER TABLE public.partners DROP CONSTRAINT partners_organization_id_id_key, DROP CONSTRAINT partners_pkey, ADD CONSTRAINT partners_pkey PRIMARY KEY USING INDEX partners_pkey_distributed;
ALTER TABLE public.quarterly_goals DROP CONSTRAINT quarterly_goals_pkey, ADD CONSTRAINT quarterly_goals_pkey PRIMARY KEY USING INDEX quarterly_goals_pkey_distributed;
ALTER TABLE public.users DROP CONSTRAINT users_organization_id_id_key, DROP CONSTRAINT users_pkey, ADD CONSTRAINT users_pkey PRIMARY KEY USING INDEX users_pkey_distributed;
SELECT create_reference_table('public.organizations');
SELECT create_distributed_table('public.alerts', 'organization_id', colocate_with => 'none');
SELECT create_distributed_table('public.opportunities', 'organization_id', colocate_with => 'public.alerts');
SELECT create_distributed_table('public.partners', 'organization_id', colocate_with => 'public.alerts');
SELECT create_distributed_table('public.quarterly_goals', 'organization_id', colocate_with => 'public.alerts');
SELECT create_distributed_table('public.users', 'organization_id', colocate_with => 'public.alerts');
SELECT truncate_local_data_after_distributing_table('public.organizations');
SELECT truncate_local_data_after_distributing_table('public.alerts');
SELECT truncate_local_data_after_distributing_table('public.opportunities');
SELECT truncate_local_data_after_distributing_table('public.partners');
SELECT truncate_local_data_after_distributing_table('public.quarterly_goals');
SELECT truncate_local_data_after_distributing_table('public.users');
ALTER TABLE public.alerts ADD CONSTRAINT alerts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.alerts ADD CONSTRAINT alerts_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.users(organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.console_accounts ADD CONSTRAINT console_accounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE;
ALTER TABLE public.console_sessions ADD CONSTRAINT console_sessions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE SET NULL;
ALTER TABLE public.opportunities ADD CONSTRAINT opportunities_organization_id_assigned_user_id_fkey FOREIGN KEY (organization_id, assigned_user_id) REFERENCES public.users(organization_id, id) NOT VALID;
ALTER TABLE public.opportunities ADD CONSTRAINT opportunities_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.opportunities ADD CONSTRAINT opportunities_organization_id_partner_id_fkey FOREIGN KEY (organization_id, partner_id) REFERENCES public.partners(organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.partners ADD CONSTRAINT partners_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.quarterly_goals ADD CONSTRAINT quarterly_goals_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.quarterly_goals ADD CONSTRAINT quarterly_goals_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.users(organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.users ADD CONSTRAINT users_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE NOT VALID;
CREATE OR REPLACE FUNCTION public.partman_clear_references()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "citus.enable_manual_changes_to_shards" TO 'on'
AS $function$
DECLARE
    -- The part of the referring table that is on this node, with the rows of the same tenant.
    shard text := shard_name(
        TG_ARGV[0]::regclass,
        get_shard_id_for_distribution_column(TG_ARGV[0]::regclass, to_jsonb(OLD) ->> TG_ARGV[1])
    );
BEGIN
    IF TG_ARGV[0] LIKE 'public.%' THEN
        shard := 'public.' || shard;
    END IF;
    EXECUTE format('UPDATE %s SET %s WHERE %s', shard, TG_ARGV[2], TG_ARGV[3]) USING OLD;
    RETURN OLD;
END
$function$;
ALTER FUNCTION public.partman_clear_references() OWNER TO partman_owner;
REVOKE EXECUTE ON FUNCTION public.partman_clear_references() FROM PUBLIC;
CREATE TRIGGER opportunities_organization_id_assigned_user_id_fkey BEFORE DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION public.partman_clear_references('public.opportunities', 'organization_id', 'assigned_user_id = NULL', '(organization_id, assigned_user_id) = (($1).organization_id, ($1).id)');
-- Checks and statistics: one by one
ALTER TABLE public.alerts VALIDATE CONSTRAINT alerts_organization_id_fkey;
ALTER TABLE public.alerts VALIDATE CONSTRAINT alerts_organization_id_user_id_fkey;
ALTER TABLE public.opportunities VALIDATE CONSTRAINT opportunities_organization_id_assigned_user_id_fkey;
ALTER TABLE public.opportunities VALIDATE CONSTRAINT opportunities_organization_id_fkey;
ALTER TABLE public.opportunities VALIDATE CONSTRAINT opportunities_organization_id_partner_id_fkey;
ALTER TABLE public.partners VALIDATE CONSTRAINT partners_organization_id_fkey;
ALTER TABLE public.quarterly_goals VALIDATE CONSTRAINT quarterly_goals_organization_id_fkey;
ALTER TABLE public.quarterly_goals VALIDATE CONSTRAINT quarterly_goals_organization_id_user_id_fkey;
ALTER TABLE public.users VALIDATE CONSTRAINT users_organization_id_fkey;
ANALYZE public.organizations;
ANALYZE public.alerts;
ANALYZE public.opportunities;
ANALYZE public.partners;
ANALYZE public.quarterly_goals;
ANALYZE public.users;
