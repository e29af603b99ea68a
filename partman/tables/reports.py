"""Reports across organizations: views for ``partman_reports``, of counts and sums.

The views are ``security_invoker``: whoever reads one needs the privileges on the columns that it
reads, and the policies apply. The reports' role has them for all rows, and only for these columns.

Each table is counted by tenant and then joined: Citus refuses a count for each organization.
"""

from partman.tables.tenancy import TENANCY

_ROLE = TENANCY.roles.reports

ORGANIZATIONS = """\
CREATE VIEW report_organizations WITH (security_invoker = true) AS
SELECT o.id AS organization_id, o.subdomain, o.is_active, o.subscription_tier, o.created_at,
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
) d ON d.organization_id = o.id"""

PIPELINE = """\
CREATE VIEW report_pipeline WITH (security_invoker = true) AS
SELECT organization_id, currency, stage, status, count(*) AS opportunities,
    sum(deal_value) AS deal_value
FROM opportunities
GROUP BY organization_id, currency, stage, status"""

VIEWS = (
    ORGANIZATIONS,
    "COMMENT ON VIEW report_organizations IS 'For each organization: its state, and the number of "
    "its users, partners and opportunities. No personal data.'",
    PIPELINE,
    "COMMENT ON VIEW report_pipeline IS 'For each organization, currency, stage and status: the "
    "number of opportunities and the sum of their values.'",
    f"GRANT SELECT ON report_organizations, report_pipeline TO {_ROLE}",
)
