"""Reports across organizations: views for ``partman_reports``, of counts and sums.

The views are ``security_invoker``: whoever reads one needs the privileges on the columns that it
reads, and the policies apply. The reports' role has them for all rows, and only for these columns.
"""

from partman.tables.tenancy import TENANCY

_ROLE = TENANCY.roles.reports

ORGANIZATIONS = """\
CREATE VIEW report_organizations WITH (security_invoker = true) AS
SELECT o.id AS organization_id, o.subdomain, o.is_active, o.subscription_tier, o.created_at,
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id) AS users,
    (SELECT count(*) FROM users u WHERE u.organization_id = o.id AND u.is_active) AS active_users,
    (SELECT count(*) FROM partners p WHERE p.organization_id = o.id) AS partners,
    (SELECT count(*) FROM opportunities d WHERE d.organization_id = o.id) AS opportunities
FROM organizations o"""

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
