"""The migrations build exactly the schema that was there before them, and take it away again."""

import re

import pytest

from tests.catalog import catalog
from tests.support import CONSOLE_TABLES, SIX_TABLES, Completed, Database, execute, query, run

INITIAL_SCHEMA = "2026-11-22T17:19:00:525788"
INDEXES = "2026-11-22T17:25:00:000000"
DEFAULT_DATA = "2026-11-22T17:30:00:000000"
ORGANIZATION = "00000000-0000-4000-8000-000000000001"
ADMIN = "00000000-0000-4000-8000-000000000002"

# The database's init.sql, as it was run by hand before there were migrations.
STORY_001 = """
CREATE TABLE organizations (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(255) NOT NULL,
    subdomain VARCHAR(100) UNIQUE NOT NULL,
    settings JSONB DEFAULT '{}',
    is_active BOOLEAN DEFAULT true,
    subscription_tier VARCHAR(50) DEFAULT 'basic',
    max_users INTEGER DEFAULT 10,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    email VARCHAR(255) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    role VARCHAR(100) NOT NULL,
    permissions JSONB DEFAULT '{}',
    personal_settings JSONB DEFAULT '{}',
    last_login_at TIMESTAMP WITH TIME ZONE,
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    UNIQUE(organization_id, email)
);

CREATE TABLE partners (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    domain VARCHAR(100) NOT NULL,
    website VARCHAR(500),
    commission_structure JSONB NOT NULL,
    relationship_health INTEGER DEFAULT 50,
    primary_contact JSONB DEFAULT '{}',
    agreement_details JSONB DEFAULT '{}',
    status VARCHAR(50) DEFAULT 'active',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE opportunities (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    partner_id UUID NOT NULL REFERENCES partners(id) ON DELETE CASCADE,
    assigned_user_id UUID REFERENCES users(id) ON DELETE SET NULL,
    customer_name VARCHAR(255) NOT NULL,
    customer_contact JSONB DEFAULT '{}',
    deal_value DECIMAL(15,2) NOT NULL,
    currency VARCHAR(3) DEFAULT 'USD',
    stage VARCHAR(100) NOT NULL,
    probability INTEGER DEFAULT 10,
    expected_close_date DATE NOT NULL,
    actual_close_date DATE,
    commission_details JSONB DEFAULT '{}',
    notes TEXT,
    attachments JSONB DEFAULT '[]',
    status VARCHAR(50) DEFAULT 'open',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE TABLE quarterly_goals (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    user_id UUID REFERENCES users(id) ON DELETE SET NULL,
    quarter INTEGER NOT NULL,
    year INTEGER NOT NULL,
    goal_type VARCHAR(100) NOT NULL,
    target_value DECIMAL(15,2) NOT NULL,
    current_value DECIMAL(15,2) DEFAULT 0,
    currency VARCHAR(3) DEFAULT 'USD',
    status VARCHAR(20) DEFAULT 'active',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    UNIQUE(organization_id, user_id, quarter, year, goal_type)
);

CREATE TABLE alerts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id UUID NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
    user_id UUID REFERENCES users(id) ON DELETE CASCADE,
    alert_type VARCHAR(100) NOT NULL,
    entity_type VARCHAR(100) NOT NULL,
    entity_id UUID,
    title VARCHAR(500) NOT NULL,
    message TEXT NOT NULL,
    priority VARCHAR(20) DEFAULT 'medium',
    status VARCHAR(20) DEFAULT 'pending',
    triggered_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    acknowledged_at TIMESTAMP WITH TIME ZONE,
    resolved_at TIMESTAMP WITH TIME ZONE
);

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE partners ENABLE ROW LEVEL SECURITY;
ALTER TABLE opportunities ENABLE ROW LEVEL SECURITY;
ALTER TABLE quarterly_goals ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
"""

STORY_002 = """
CREATE INDEX idx_organizations_subdomain ON organizations(subdomain);
CREATE INDEX idx_users_org_email ON users(organization_id, email);
CREATE INDEX idx_partners_org_domain ON partners(organization_id, domain);
CREATE INDEX idx_opportunities_org_stage ON opportunities(organization_id, stage);
CREATE INDEX idx_opportunities_partner ON opportunities(partner_id);
CREATE INDEX idx_opportunities_assigned_user ON opportunities(assigned_user_id);
CREATE INDEX idx_alerts_user_status ON alerts(user_id, status);
"""

STORY_INDEXES = set(re.findall(r"idx_\w+", STORY_002))


def piccolo(database: Database, *arguments: str) -> Completed:
    completed = run("piccolo", "migrations", *arguments, environment=database.environment)
    assert completed.code == 0, completed.output
    return completed


def test_initial_schema_equals_the_hand_written_one(
    empty_database: Database, other_database: Database
) -> None:
    execute(other_database.url, STORY_001)
    piccolo(empty_database, "forwards", "partman", INITIAL_SCHEMA)
    assert catalog(empty_database.url) == catalog(other_database.url)


def test_indexes_equal_the_hand_written_ones(
    empty_database: Database, other_database: Database
) -> None:
    execute(other_database.url, STORY_001, STORY_002)
    piccolo(empty_database, "forwards", "partman", INDEXES)
    assert catalog(empty_database.url) == catalog(other_database.url)


def test_the_comparison_sees_one_changed_default(
    empty_database: Database, other_database: Database
) -> None:
    execute(other_database.url, STORY_001.replace("max_users INTEGER DEFAULT 10", "max_users INT"))
    piccolo(empty_database, "forwards", "partman", INITIAL_SCHEMA)
    assert len(catalog(empty_database.url) ^ catalog(other_database.url)) == 2


def test_models_and_migrations_agree(database: Database) -> None:
    """Nothing is written, or else the checkout would be dirty now."""
    assert "No changes detected" in piccolo(database, "new", "partman", "--auto").stdout


def test_going_all_the_way_back_leaves_only_the_ledger(
    database: Database, empty_database: Database
) -> None:
    latest = catalog(database.url)
    piccolo(database, "backwards", "partman", "all", "--auto_agree")
    assert catalog(database.url) == catalog(empty_database.url)
    assert query(database.url, "SELECT * FROM migration") == []
    piccolo(database, "forwards", "all")
    assert catalog(database.url) == latest


def test_preview_shows_the_sql_in_the_order_it_would_run(empty_database: Database) -> None:
    forwards = piccolo(empty_database, "forwards", "partman", INITIAL_SCHEMA, "--preview").stdout
    assert forwards.index("CREATE TABLE") < forwards.index("ENABLE ROW LEVEL SECURITY")
    piccolo(empty_database, "forwards", "partman", INITIAL_SCHEMA)
    backwards = piccolo(
        empty_database, "backwards", "partman", "all", "--auto_agree", "--preview"
    ).stdout
    assert backwards.index("DISABLE ROW LEVEL SECURITY") < backwards.index("DROP TABLE")
    tables = query(empty_database.url, "SELECT relname FROM pg_class WHERE relname = 'alerts'")
    assert len(tables) == 1


@pytest.mark.same_on_every_version
class TestDefaultData:
    def test_holds_one_organization_and_an_admin_who_cannot_sign_in(
        self, database: Database
    ) -> None:
        rows = query(
            database.url,
            "SELECT o.id::text AS organization, o.subdomain, u.id::text AS admin, u.email, u.role,"
            " u.password_hash FROM organizations o JOIN users u ON u.organization_id = o.id",
        )
        assert [tuple(row) for row in rows] == [
            (ORGANIZATION, "default", ADMIN, "admin@partman.com", "system_owner", "!")
        ]

    def test_keeps_a_default_organization_that_was_there_before(
        self, empty_database: Database
    ) -> None:
        piccolo(empty_database, "forwards", "partman", INDEXES)
        execute(
            empty_database.url,
            "INSERT INTO organizations (name, subdomain) VALUES ('Ours', 'default')",
            "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
            " SELECT id, 'admin@partman.com', 'theirs', 'A', 'B', 'admin' FROM organizations",
        )
        before = query(empty_database.url, "SELECT * FROM organizations JOIN users ON true")
        piccolo(empty_database, "forwards", "all")
        assert query(empty_database.url, "SELECT * FROM organizations JOIN users ON true") == before
        piccolo(empty_database, "backwards", "partman", DEFAULT_DATA, "--auto_agree")
        assert query(empty_database.url, "SELECT * FROM organizations JOIN users ON true") == before

    def test_going_back_removes_its_rows_and_no_others(self, database: Database) -> None:
        execute(
            database.url, "INSERT INTO organizations (name, subdomain) VALUES ('Other', 'other')"
        )
        piccolo(database, "backwards", "partman", DEFAULT_DATA, "--auto_agree")
        subdomains = query(database.url, "SELECT subdomain FROM organizations")
        assert [row["subdomain"] for row in subdomains] == ["other"]
        assert query(database.url, "SELECT * FROM users") == []
        piccolo(database, "forwards", "all")
        assert len(query(database.url, "SELECT * FROM users")) == 1

    @pytest.mark.parametrize(
        ("row", "named"),
        [
            (
                "INSERT INTO partners (organization_id, name, domain, commission_structure) "
                f"VALUES ('{ORGANIZATION}', 'P', 'd', '{{}}')",
                "1 partners",
            ),
            (
                "INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title,"
                f" message) VALUES ('{ORGANIZATION}', '{ADMIN}', 'a', 'partner', 't', 'm')",
                "1 alerts",
            ),
        ],
    )
    def test_going_back_refuses_while_rows_hang_on_it(
        self, database: Database, row: str, named: str
    ) -> None:
        execute(database.url, row)
        completed = run(
            "piccolo", "migrations", "backwards", "partman", DEFAULT_DATA, "--auto_agree",
            environment=database.environment,
        )  # fmt: skip
        assert completed.code == 7
        assert named in completed.stderr
        assert "partman seed clear" in completed.stderr
        assert len(query(database.url, "SELECT * FROM users")) == 1
        assert len(query(database.url, "SELECT * FROM migration")) == 3


def test_every_migration_can_be_previewed_backwards(database: Database) -> None:
    preview = piccolo(database, "backwards", "partman", "all", "--auto_agree", "--preview").stdout
    assert set(re.findall(r"DROP INDEX (idx_\w+);", preview)) == STORY_INDEXES
    assert len(re.findall(r"DROP TABLE", preview)) == len(SIX_TABLES | CONSOLE_TABLES)
