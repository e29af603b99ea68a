"""The database that there was before any migration, and how it is adopted."""

from tests.database.test_schema import STORY_001, STORY_002
from tests.faults.processes import Zygote
from tests.support import Completed, Database, query

# What the application had stored, before there were migrations.
ROWS = """
INSERT INTO organizations (id, name, subdomain) VALUES
    ('10000000-0000-4000-8000-000000000001', 'Initech', 'initech');
INSERT INTO users (id, organization_id, email, password_hash, first_name, last_name, role) VALUES
    ('10000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001',
     'bill@initech.example', '!', 'Bill', 'Lumbergh', 'admin');
INSERT INTO partners (id, organization_id, name, domain, commission_structure) VALUES
    ('10000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000001',
     'Lacework', 'security', '{"type": "referral", "rate": 15}');
INSERT INTO opportunities (organization_id, partner_id, assigned_user_id, customer_name, deal_value,
    stage, expected_close_date)
SELECT organization_id, p.id, u.id, 'Globex', 4200.50, 'proposal', '2026-12-24'
FROM partners p JOIN users u USING (organization_id);
INSERT INTO quarterly_goals (organization_id, user_id, quarter, year, goal_type, target_value)
SELECT organization_id, id, 4, 2026, 'revenue', 100000 FROM users;
INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)
SELECT organization_id, id, 'deal', 'opportunity', 'Late', 'It is late' FROM users;
"""
STORY = (STORY_001, STORY_002, ROWS)
"""What init.sql and the application have left."""


def adopt(database: Database, zygote: Zygote, *arguments: str, **variables: str) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"} | variables
    return zygote.run("partman", "adopt", *arguments, environment=environment)


def forwards(database: Database, zygote: Zygote) -> Completed:
    environment = database.environment | {"PARTMAN_ENV": "production"}
    return zygote.run("piccolo", "migrations", "forwards", "all", environment=environment)


def recorded(database: Database) -> list[str]:
    """What the ledger has; nothing either where there is no ledger, and no history."""
    if not query(database.url, "SELECT FROM pg_class WHERE relname = 'migration'"):
        assert not query(database.url, "SELECT FROM pg_class WHERE relname = 'migration_history'")
        return []
    return [row["name"] for row in query(database.url, "SELECT name FROM migration ORDER BY id")]
