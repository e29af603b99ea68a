from partman.migration import MigrationManager

ID = "2026-11-22T17:25:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "indexes"


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)

    manager.add_sql(
        forwards="CREATE INDEX idx_organizations_subdomain ON organizations (subdomain)",
        backwards="DROP INDEX idx_organizations_subdomain",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_users_org_email ON users (organization_id, email)",
        backwards="DROP INDEX idx_users_org_email",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_partners_org_domain ON partners (organization_id, domain)",
        backwards="DROP INDEX idx_partners_org_domain",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_opportunities_org_stage ON opportunities (organization_id, stage)",
        backwards="DROP INDEX idx_opportunities_org_stage",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_opportunities_partner ON opportunities (partner_id)",
        backwards="DROP INDEX idx_opportunities_partner",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_opportunities_assigned_user ON opportunities (assigned_user_id)",
        backwards="DROP INDEX idx_opportunities_assigned_user",
    )

    manager.add_sql(
        forwards="CREATE INDEX idx_alerts_user_status ON alerts (user_id, status)",
        backwards="DROP INDEX idx_alerts_user_status",
    )

    return manager
