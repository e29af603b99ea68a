"""The report of organizations in a form that also a cluster of Citus can answer.

Citus refuses a count for each organization ("complex joins are only supported when all distributed
tables are joined on their distribution columns"): organizations are on every node, and the others
by tenant. It counts each table by tenant first, and joins the numbers. So does a single server.
"""

from partman.migration import MigrationManager

ID = "2026-11-28T11:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "report on a cluster"

VIEW = "CREATE OR REPLACE VIEW report_organizations WITH (security_invoker = true) AS"
OF_ORGANIZATIONS = (
    "SELECT o.id AS organization_id, o.subdomain, o.is_active, o.subscription_tier, o.created_at,"
)

EACH_COUNTED = f"""
{VIEW}
{OF_ORGANIZATIONS}
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id) AS users,
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id AND u.is_active) AS active_users,
    (SELECT count(*) FROM partners p WHERE p.organization_id = o.id) AS partners,
    (SELECT count(*) FROM opportunities d WHERE d.organization_id = o.id) AS opportunities
FROM organizations o
"""

COUNTED_BY_TENANT = f"""
{VIEW}
{OF_ORGANIZATIONS}
    coalesce(u.number, 0) AS users, coalesce(u.active, 0) AS active_users,
    coalesce(p.number, 0) AS partners, coalesce(d.number, 0) AS opportunities
FROM organizations o
LEFT JOIN (
    SELECT organization_id, count(*) AS number, count(*) FILTER (WHERE is_active) AS active
    FROM users GROUP BY organization_id
) u ON u.organization_id = o.id
LEFT JOIN (
    SELECT organization_id, count(*) AS number FROM partners GROUP BY organization_id
) p ON p.organization_id = o.id
LEFT JOIN (
    SELECT organization_id, count(*) AS number FROM opportunities GROUP BY organization_id
) d ON d.organization_id = o.id
"""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.add_sql(forwards=COUNTED_BY_TENANT, backwards=EACH_COUNTED)
    return manager
