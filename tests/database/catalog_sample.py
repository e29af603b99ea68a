"""A schema with one of everything that a catalog lists, and one change to each of them."""

from dataclasses import dataclass

SAMPLE = [
    "CREATE EXTENSION hstore",
    "CREATE SCHEMA shop",
    "COMMENT ON SCHEMA shop IS 'What is sold'",
    "CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN shop.percent AS integer DEFAULT 0 NOT NULL"
    " CONSTRAINT percent_range CHECK (VALUE BETWEEN 0 AND 100)",
    "CREATE TYPE shop.address AS (street text, zip varchar(10))",
    "CREATE TYPE shop.span AS RANGE (subtype = date)",
    "CREATE SEQUENCE shop.numbers AS integer INCREMENT 5 MINVALUE 5 CACHE 2",
    """
    CREATE TABLE shop.partners (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        organization_id uuid NOT NULL,
        number bigint GENERATED ALWAYS AS IDENTITY,
        serial serial,
        name varchar(255) COLLATE "C" NOT NULL,
        website text,
        mood shop.mood DEFAULT 'ok',
        health shop.percent,
        address shop.address,
        since timestamptz DEFAULT '2020-02-02 02:02:02+00',
        patience interval DEFAULT '1 mon 2 days',
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
        price numeric(15, 2) CONSTRAINT partners_price_check CHECK (price >= 0),
        UNIQUE (organization_id, id)
    )
    """,
    """
    CREATE TABLE shop.goals (
        id integer PRIMARY KEY,
        organization_id uuid NOT NULL,
        partner_id uuid,
        year integer,
        "Strange Name" tsrange,
        CONSTRAINT goals_once UNIQUE NULLS NOT DISTINCT (organization_id, partner_id, year),
        CONSTRAINT goals_partner_fkey FOREIGN KEY (organization_id, partner_id)
            REFERENCES shop.partners (organization_id, id) ON DELETE SET NULL (partner_id),
        CONSTRAINT goals_alone EXCLUDE USING gist ("Strange Name" WITH &&)
    )
    """,
    "ALTER TABLE shop.goals ADD CONSTRAINT goals_year_check CHECK (year > 2000) NOT VALID",
    "CREATE TABLE shop.events (at date NOT NULL, what text) PARTITION BY RANGE (at)",
    "CREATE TABLE shop.events_2026 PARTITION OF shop.events"
    " FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE UNLOGGED TABLE shop.cache (key text, hash bytea DEFAULT '\\xdead',"
    " share float8 DEFAULT '0.1234567890123456') WITH (fillfactor = 70)",
    "CREATE INDEX partners_name ON shop.partners (organization_id, name DESC NULLS LAST)",
    "CREATE INDEX partners_sad ON shop.partners (id) WHERE mood = 'sad'",
    "CREATE UNIQUE INDEX partners_lower ON shop.partners (lower(name)) INCLUDE (website)",
    "CREATE INDEX partners_words ON shop.partners USING gin (to_tsvector('english', name))",
    "CREATE STATISTICS shop.partners_statistics ON name, website FROM shop.partners",
    "CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = ''"
    " AS $$ BEGIN RETURN NEW; END $$",
    "CREATE FUNCTION shop.total(price numeric, VARIADIC amounts integer[]) RETURNS numeric"
    " LANGUAGE sql IMMUTABLE RETURN price * cardinality(amounts)",
    "CREATE FUNCTION shop.find(subdomain text) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER"
    " SET search_path = pg_catalog, pg_temp AS 'SELECT NULL::uuid'",
    "CREATE PROCEDURE shop.clean() LANGUAGE sql AS 'SELECT 1'",
    "CREATE AGGREGATE shop.sum_of(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0')",
    "CREATE TRIGGER touch BEFORE UPDATE ON shop.partners FOR EACH ROW"
    " WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION shop.touch()",
    "CREATE TRIGGER asleep AFTER INSERT OR DELETE ON shop.goals EXECUTE FUNCTION shop.touch()",
    "ALTER TABLE shop.goals DISABLE TRIGGER asleep",
    "CREATE VIEW shop.happy WITH (security_invoker = true) AS"
    " SELECT p.id, p.name AS who FROM shop.partners p WHERE p.mood = 'happy'"
    " AND EXISTS (SELECT FROM shop.goals g WHERE g.partner_id = p.id) ORDER BY p.name",
    "CREATE VIEW shop.joined AS SELECT p.name, g.year FROM shop.partners p"
    " LEFT JOIN shop.goals g ON g.partner_id = p.id",
    "CREATE VIEW shop.counted AS SELECT mood, count(*) FROM shop.partners GROUP BY mood",
    "CREATE MATERIALIZED VIEW shop.summary AS"
    ' SELECT year, extract(year FROM max(lower("Strange Name"))) AS y'
    " FROM shop.goals GROUP BY year",
    "CREATE RULE quiet AS ON DELETE TO shop.cache DO INSTEAD NOTHING",
    "ALTER TABLE shop.partners ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE shop.partners FORCE ROW LEVEL SECURITY",
    "CREATE POLICY tenant_access ON shop.partners TO partman_app USING (true)",
    "CREATE POLICY tenant_only ON shop.partners AS RESTRICTIVE TO partman_app, partman_auth"
    " USING (organization_id = current_setting('partman.organization_id')::uuid)"
    " WITH CHECK (organization_id = current_setting('partman.organization_id')::uuid)",
    "GRANT USAGE ON SCHEMA shop TO partman_app",
    "GRANT SELECT, INSERT ON shop.partners TO partman_app",
    "GRANT UPDATE (name, patience) ON shop.partners TO partman_app",
    "GRANT ALL ON shop.goals TO partman_app WITH GRANT OPTION",
    "GRANT SELECT ON shop.happy TO PUBLIC",
    "GRANT USAGE ON SEQUENCE shop.numbers TO partman_app",
    "REVOKE EXECUTE ON FUNCTION shop.find(text) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION shop.find(text) TO partman_app",
    "REVOKE USAGE ON TYPE shop.mood FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO partman_app",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "COMMENT ON TABLE shop.partners IS 'Who sells for us'",
    "COMMENT ON COLUMN shop.partners.name IS 'As in the contract'",
    "COMMENT ON COLUMN shop.happy.who IS 'The happy one'",
]


@dataclass(frozen=True)
class Change:
    """What somebody does to the sample, and the one difference that it makes."""

    sql: str
    headline: str
    expected: str | None = None
    found: str | None = None


def missing(sql: str, reference: str, expected: str | None = None) -> Change:
    return Change(sql, f"missing   {reference}", expected)


def extra(sql: str, reference: str, found: str | None = None) -> Change:
    return Change(sql, f"extra     {reference}", None, found)


def different(sql: str, attribute: str, expected: str | None, found: str | None) -> Change:
    return Change(sql, f"different {attribute}", expected, found)


_TOUCH = "DROP TRIGGER touch ON shop.partners; CREATE TRIGGER touch BEFORE UPDATE ON shop.partners"

CHANGES = [
    # Schemas and extensions.
    extra("CREATE SCHEMA other CREATE TABLE t (id integer PRIMARY KEY)", "schema other"),
    missing("DROP SCHEMA shop CASCADE", "schema shop"),
    different("COMMENT ON SCHEMA shop IS NULL", "schema shop: comment", "What is sold", "none"),
    different(
        "GRANT CREATE ON SCHEMA shop TO partman_auth; ALTER SCHEMA shop OWNER TO partman_auth",
        "schema shop: owner",
        "<owner>",
        "partman_auth",
    ),
    missing("DROP EXTENSION hstore", "extension hstore"),
    different(
        "DROP EXTENSION hstore; CREATE EXTENSION hstore SCHEMA shop",
        "extension hstore: schema",
        "public",
        "shop",
    ),
    # Types.
    different(
        "ALTER TYPE shop.mood ADD VALUE 'angry' BEFORE 'sad'",
        "type shop.mood: labels",
        "sad, ok, happy",
        "angry, sad, ok, happy",
    ),
    different("COMMENT ON TYPE shop.mood IS 'x'", "type shop.mood: comment", "none", "x"),
    different(
        "ALTER DOMAIN shop.percent DROP NOT NULL", "domain shop.percent: not_null", "yes", "no"
    ),
    different("ALTER DOMAIN shop.percent SET DEFAULT 5", "domain shop.percent: default", "0", "5"),
    missing(
        "ALTER DOMAIN shop.percent DROP CONSTRAINT percent_range",
        "constraint percent_range on shop.percent",
        "CHECK (((VALUE >= 0) AND (VALUE <= 100)))",
    ),
    different(
        "ALTER TYPE shop.address ADD ATTRIBUTE city text",
        "type shop.address: attributes",
        "street text, zip character varying(10)",
        "street text, zip character varying(10), city text",
    ),
    missing("DROP TYPE shop.span", "type shop.span"),
    extra("CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '@')", "domain shop.email", "text"),
    # Sequences.
    different(
        "ALTER SEQUENCE shop.numbers INCREMENT 7", "sequence shop.numbers: increment", "5", "7"
    ),
    different("ALTER SEQUENCE shop.numbers CYCLE", "sequence shop.numbers: cycle", "no", "yes"),
    different(
        "ALTER SEQUENCE shop.numbers OWNED BY shop.goals.id",
        "sequence shop.numbers: owned_by",
        "none",
        "shop.goals.id",
    ),
    # Tables.
    extra("CREATE TABLE shop.more (id serial PRIMARY KEY, n int UNIQUE)", "table shop.more"),
    missing("DROP TABLE shop.cache", "table shop.cache"),
    different(
        "GRANT CREATE ON SCHEMA shop TO partman_auth;"
        " ALTER TABLE shop.goals OWNER TO partman_auth;"
        " REVOKE CREATE ON SCHEMA shop FROM partman_auth",
        "table shop.goals: owner",
        "<owner>",
        "partman_auth",
    ),
    different("ALTER TABLE shop.cache SET LOGGED", "table shop.cache: unlogged", "yes", "no"),
    different(
        "ALTER TABLE shop.cache RESET (fillfactor)",
        "table shop.cache: options",
        "fillfactor=70",
        "none",
    ),
    different(
        "ALTER TABLE shop.partners DISABLE ROW LEVEL SECURITY",
        "table shop.partners: row_security",
        "yes",
        "no",
    ),
    different(
        "ALTER TABLE shop.partners NO FORCE ROW LEVEL SECURITY",
        "table shop.partners: force_row_security",
        "yes",
        "no",
    ),
    different(
        "ALTER TABLE shop.goals REPLICA IDENTITY USING INDEX goals_pkey",
        "table shop.goals: replica_identity",
        "DEFAULT",
        "INDEX shop.goals_pkey",
    ),
    different(
        "ALTER TABLE shop.events DETACH PARTITION shop.events_2026;"
        " ALTER TABLE shop.events ATTACH PARTITION shop.events_2026"
        " FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')",
        "partition shop.events_2026 of shop.events: bound",
        "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        "FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')",
    ),
    different(
        "COMMENT ON TABLE shop.partners IS 'Friends'",
        "table shop.partners: comment",
        "Who sells for us",
        "Friends",
    ),
    # Columns.
    extra(
        "ALTER TABLE shop.goals ADD note varchar(9) DEFAULT 'x' NOT NULL",
        "column shop.goals.note",
        "character varying(9) NOT NULL DEFAULT 'x'::character varying",
    ),
    # With what was granted on it.
    extra(
        "ALTER TABLE shop.partners ADD note text;"
        " GRANT UPDATE (note) ON shop.partners TO partman_app;"
        " GRANT SELECT (note) ON shop.partners TO partman_auth",
        "column shop.partners.note",
        "text",
    ),
    missing(
        "ALTER TABLE shop.partners DROP patience",
        "column shop.partners.patience",
        "interval DEFAULT '1 mon 2 days'::interval",
    ),
    different(
        "ALTER TABLE shop.goals ALTER id TYPE bigint",
        "column shop.goals.id: type",
        "integer",
        "bigint",
    ),
    different(
        "ALTER TABLE shop.goals ALTER partner_id SET NOT NULL",
        "column shop.goals.partner_id: null",
        "NULL",
        "NOT NULL",
    ),
    different(
        "ALTER TABLE shop.partners ALTER mood SET DEFAULT 'sad'",
        "column shop.partners.mood: default",
        "'ok'::shop.mood",
        "'sad'::shop.mood",
    ),
    different(
        "ALTER TABLE shop.partners ALTER number SET GENERATED BY DEFAULT",
        "column shop.partners.number: identity",
        "ALWAYS",
        "BY DEFAULT",
    ),
    different(
        "ALTER TABLE shop.partners ALTER upper_name DROP EXPRESSION",
        "column shop.partners.upper_name: generated",
        "upper((name)::text) STORED",
        "none",
    ),
    different(
        "COMMENT ON COLUMN shop.partners.name IS NULL",
        "column shop.partners.name: comment",
        "As in the contract",
        "none",
    ),
    # Constraints.
    missing(
        "ALTER TABLE shop.goals DROP CONSTRAINT goals_once",
        "constraint goals_once on shop.goals",
        "UNIQUE NULLS NOT DISTINCT (organization_id, partner_id, year)",
    ),
    different(
        "ALTER TABLE shop.goals DROP CONSTRAINT goals_once;"
        " ALTER TABLE shop.goals ADD CONSTRAINT goals_once UNIQUE"
        " (organization_id, partner_id, year)",
        "constraint goals_once on shop.goals: definition",
        "UNIQUE NULLS NOT DISTINCT (organization_id, partner_id, year)",
        "UNIQUE (organization_id, partner_id, year)",
    ),
    different(
        "ALTER TABLE shop.goals DROP CONSTRAINT goals_partner_fkey;"
        " ALTER TABLE shop.goals ADD CONSTRAINT goals_partner_fkey"
        " FOREIGN KEY (organization_id, partner_id)"
        " REFERENCES shop.partners (organization_id, id) ON DELETE SET NULL",
        "constraint goals_partner_fkey on shop.goals: definition",
        "FOREIGN KEY (organization_id, partner_id) REFERENCES shop.partners(organization_id, id)"
        " ON DELETE SET NULL (partner_id)",
        "FOREIGN KEY (organization_id, partner_id) REFERENCES shop.partners(organization_id, id)"
        " ON DELETE SET NULL",
    ),
    different(
        "ALTER TABLE shop.goals VALIDATE CONSTRAINT goals_year_check",
        "constraint goals_year_check on shop.goals: valid",
        "no",
        "yes",
    ),
    different(
        "COMMENT ON CONSTRAINT goals_once ON shop.goals IS 'x'",
        "constraint goals_once on shop.goals: comment",
        "none",
        "x",
    ),
    # Indexes.
    missing(
        "DROP INDEX shop.partners_sad",
        "index shop.partners_sad",
        "CREATE INDEX partners_sad ON shop.partners USING btree (id)"
        " WHERE (mood = 'sad'::shop.mood)",
    ),
    extra(
        "CREATE INDEX goals_year ON shop.goals (year)",
        "index shop.goals_year",
        "CREATE INDEX goals_year ON shop.goals USING btree (year)",
    ),
    different(
        "DROP INDEX shop.partners_name;"
        " CREATE INDEX partners_name ON shop.partners (organization_id, name)",
        "index shop.partners_name: definition",
        "CREATE INDEX partners_name ON shop.partners USING btree"
        " (organization_id, name DESC NULLS LAST)",
        "CREATE INDEX partners_name ON shop.partners USING btree (organization_id, name)",
    ),
    different(
        "COMMENT ON INDEX shop.partners_sad IS 'x'",
        "index shop.partners_sad: comment",
        "none",
        "x",
    ),
    # Policies.
    missing(
        "DROP POLICY tenant_access ON shop.partners",
        "policy tenant_access on shop.partners",
        "AS PERMISSIVE FOR ALL TO partman_app USING (true)",
    ),
    extra(
        "CREATE POLICY careless ON shop.partners FOR INSERT WITH CHECK (true)",
        "policy careless on shop.partners",
        "AS PERMISSIVE FOR INSERT TO PUBLIC WITH CHECK (true)",
    ),
    different(
        "ALTER POLICY tenant_only ON shop.partners TO partman_app",
        "policy tenant_only on shop.partners: roles",
        "partman_app, partman_auth",
        "partman_app",
    ),
    different(
        "ALTER POLICY tenant_access ON shop.partners USING (id IS NOT NULL)",
        "policy tenant_access on shop.partners: using",
        "true",
        "(id IS NOT NULL)",
    ),
    different(
        "ALTER POLICY tenant_only ON shop.partners WITH CHECK (true)",
        "policy tenant_only on shop.partners: check",
        "(organization_id = (current_setting('partman.organization_id'::text))::uuid)",
        "true",
    ),
    different(
        "DROP POLICY tenant_access ON shop.partners;"
        " CREATE POLICY tenant_access ON shop.partners AS RESTRICTIVE TO partman_app USING (true)",
        "policy tenant_access on shop.partners: permissive",
        "yes",
        "no",
    ),
    different(
        "DROP POLICY tenant_access ON shop.partners;"
        " CREATE POLICY tenant_access ON shop.partners FOR SELECT TO partman_app USING (true)",
        "policy tenant_access on shop.partners: command",
        "ALL",
        "SELECT",
    ),
    different(
        "COMMENT ON POLICY tenant_access ON shop.partners IS 'x'",
        "policy tenant_access on shop.partners: comment",
        "none",
        "x",
    ),
    # Triggers.
    missing("DROP TRIGGER asleep ON shop.goals", "trigger asleep on shop.goals"),
    different(
        "ALTER TABLE shop.goals ENABLE TRIGGER asleep",
        "trigger asleep on shop.goals: enabled",
        "disabled",
        "origin",
    ),
    different(
        "ALTER TABLE shop.partners ENABLE ALWAYS TRIGGER touch",
        "trigger touch on shop.partners: enabled",
        "origin",
        "always",
    ),
    different(
        f"{_TOUCH} FOR EACH ROW EXECUTE FUNCTION shop.touch()",
        "trigger touch on shop.partners: definition",
        "CREATE TRIGGER touch BEFORE UPDATE ON shop.partners FOR EACH ROW"
        " WHEN (((old.name)::text IS DISTINCT FROM (new.name)::text))"
        " EXECUTE FUNCTION shop.touch()",
        "CREATE TRIGGER touch BEFORE UPDATE ON shop.partners FOR EACH ROW"
        " EXECUTE FUNCTION shop.touch()",
    ),
    different(
        "COMMENT ON TRIGGER touch ON shop.partners IS 'x'",
        "trigger touch on shop.partners: comment",
        "none",
        "x",
    ),
    # Functions, procedures, aggregates.
    missing("DROP FUNCTION shop.find(text)", "function shop.find(text)"),
    different(
        "ALTER FUNCTION shop.find(text) RESET search_path",
        "function shop.find(text): definition",
        None,
        None,
    ),
    different(
        "ALTER FUNCTION shop.find(text) SECURITY INVOKER",
        "function shop.find(text): definition",
        None,
        None,
    ),
    different(
        "CREATE OR REPLACE PROCEDURE shop.clean() LANGUAGE sql AS 'SELECT 2'",
        "procedure shop.clean(): definition",
        None,
        None,
    ),
    extra(
        "CREATE FUNCTION shop.find(text, integer) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "function shop.find(text,integer)",
    ),
    different(
        "CREATE OR REPLACE AGGREGATE shop.sum_of(integer)"
        " (SFUNC = int4pl, STYPE = integer, INITCOND = '1')",
        "aggregate shop.sum_of(integer): definition",
        None,
        None,
    ),
    different(
        "GRANT CREATE ON SCHEMA shop TO partman_auth;"
        " ALTER FUNCTION shop.find(text) OWNER TO partman_auth;"
        " REVOKE CREATE ON SCHEMA shop FROM partman_auth",
        "function shop.find(text): owner",
        "<owner>",
        "partman_auth",
    ),
    different(
        "COMMENT ON FUNCTION shop.find(text) IS 'x'",
        "function shop.find(text): comment",
        "none",
        "x",
    ),
    # Views.
    missing("DROP VIEW shop.joined", "view shop.joined"),
    missing("DROP MATERIALIZED VIEW shop.summary", "materialized view shop.summary"),
    different(
        "ALTER VIEW shop.happy RESET (security_invoker)",
        "view shop.happy: options",
        "security_invoker=true",
        "none",
    ),
    different(
        "CREATE OR REPLACE VIEW shop.counted AS SELECT mood, count(id) AS count"
        " FROM shop.partners GROUP BY mood",
        "view shop.counted: definition",
        None,
        None,
    ),
    different(
        "COMMENT ON COLUMN shop.happy.who IS 'x'",
        "view shop.happy: comments",
        "who: The happy one",
        "who: x",
    ),
    extra(
        "CREATE INDEX summary_year ON shop.summary (year)",
        "index shop.summary_year",
        "CREATE INDEX summary_year ON shop.summary USING btree (year)",
    ),
    # Others.
    missing(
        "DROP RULE quiet ON shop.cache",
        "rule quiet on shop.cache",
        "CREATE RULE quiet AS\n    ON DELETE TO shop.cache DO INSTEAD NOTHING;",
    ),
    missing("DROP STATISTICS shop.partners_statistics", "statistics shop.partners_statistics"),
    extra('CREATE COLLATION shop.german (locale = "C")', "collation shop.german"),
    extra(
        "CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
        "operator shop.===(integer,integer)",
    ),
    extra(
        "CREATE TEXT SEARCH CONFIGURATION shop.ours (COPY = simple)",
        "text search configuration shop.ours",
    ),
    # Grants.
    extra("GRANT SELECT ON shop.cache TO PUBLIC", "grant PUBLIC on table shop.cache", "SELECT"),
    missing(
        "REVOKE ALL ON SCHEMA shop FROM partman_app",
        "grant partman_app on schema shop",
        "USAGE",
    ),
    different(
        "GRANT TRUNCATE ON shop.partners TO partman_app",
        "grant partman_app on table shop.partners: privileges",
        "INSERT, SELECT, UPDATE (name, patience)",
        "INSERT, SELECT, TRUNCATE, UPDATE (name, patience)",
    ),
    different(
        "GRANT UPDATE (organization_id) ON shop.partners TO partman_app",
        "grant partman_app on table shop.partners: privileges",
        "INSERT, SELECT, UPDATE (name, patience)",
        "INSERT, SELECT, UPDATE (name, organization_id, patience)",
    ),
    different(
        # Not for one of them only: then MAINTAIN is told as well, where there is one.
        "REVOKE GRANT OPTION FOR ALL ON shop.goals FROM partman_app",
        "grant partman_app on table shop.goals: privileges",
        "DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE WITH GRANT OPTION",
        "DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE",
    ),
    different(
        "REVOKE INSERT ON shop.cache FROM CURRENT_USER",
        "grant <its owner> on table shop.cache: privileges",
        "DELETE, INSERT, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE",
        "DELETE, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE",
    ),
    missing(
        "REVOKE USAGE ON SEQUENCE shop.numbers FROM partman_app",
        "grant partman_app on sequence shop.numbers",
        "USAGE",
    ),
    extra(
        "GRANT EXECUTE ON FUNCTION shop.find(text) TO PUBLIC",
        "grant PUBLIC on function shop.find(text)",
        "EXECUTE",
    ),
    extra("GRANT USAGE ON TYPE shop.mood TO PUBLIC", "grant PUBLIC on type shop.mood", "USAGE"),
    missing(
        "REVOKE USAGE ON DOMAIN shop.percent FROM PUBLIC",
        "grant PUBLIC on domain shop.percent",
        "USAGE",
    ),
    missing("REVOKE SELECT ON shop.happy FROM PUBLIC", "grant PUBLIC on view shop.happy", "SELECT"),
    different(
        "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC',"
        " current_database()); END $$",
        "grant PUBLIC on database: privileges",
        "CONNECT, TEMPORARY",
        "CONNECT",
    ),
    # Default privileges.
    different(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT INSERT ON TABLES TO partman_app",
        "default grant partman_app on TABLES by <owner> in schema shop: privileges",
        "SELECT",
        "INSERT, SELECT",
    ),
    missing(
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        "default grant PUBLIC on FUNCTIONS by <owner>",
        "nothing",
    ),
    extra(
        "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC",
        "default grant PUBLIC on TYPES by <owner>",
        "nothing",
    ),
]

NO_CHANGES = {
    "an explicit default": "GRANT ALL ON shop.cache TO CURRENT_USER",
    "a right given and taken": "GRANT SELECT ON shop.cache TO partman_app;"
    " REVOKE SELECT ON shop.cache FROM partman_app",
    "a column that was dropped before": "ALTER TABLE shop.goals ADD x int;"
    " ALTER TABLE shop.goals DROP x",
    "the order of columns": "ALTER TABLE shop.cache ADD x int; ALTER TABLE shop.cache DROP key;"
    " ALTER TABLE shop.cache ADD key text; ALTER TABLE shop.cache DROP x",
    "rows": "INSERT INTO shop.cache VALUES ('x'); SELECT nextval('shop.numbers')",
    "a name that is quoted without need": "DROP INDEX shop.partners_sad; CREATE INDEX"
    ' "partners_sad" ON "shop"."partners" ("id") WHERE mood = \'sad\'',
    "the ledger": "CREATE TABLE migration (id serial PRIMARY KEY);"
    " CREATE TABLE migration_step (id int); GRANT SELECT ON migration TO partman_app;"
    " COMMENT ON TABLE migration IS 'x'; CREATE INDEX i ON migration_step (id)",
    "a temporary table": "CREATE TEMPORARY TABLE passing (id int)",
}
