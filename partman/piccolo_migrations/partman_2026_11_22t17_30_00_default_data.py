"""The default organization and its admin: the rows that every database needs.

The admin cannot sign in until `partman admin set-password admin@partman.com` was run: "!"
is no bcrypt hash, so no password matches it.

Both rows have fixed ids, so going back takes away these two and no others. It refuses to
when other rows hang on them, because deleting an organization deletes all that belongs to it.
"""

from partman.migration import MigrationManager

DEFAULT_ORGANIZATION_ID = "00000000-0000-4000-8000-000000000001"
DEFAULT_ADMIN_ID = "00000000-0000-4000-8000-000000000002"

ID = "2026-11-22T17:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "default data"


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)

    manager.add_sql(
        forwards=f"""
            INSERT INTO organizations (id, name, subdomain, is_active)
            VALUES ('{DEFAULT_ORGANIZATION_ID}', 'Default Organization', 'default', true)
            ON CONFLICT (subdomain) DO NOTHING
        """,
        backwards=f"DELETE FROM organizations WHERE id = '{DEFAULT_ORGANIZATION_ID}'",
    )

    # A database may already have an organization called "default", with an id of its own.
    manager.add_sql(
        forwards=f"""
            INSERT INTO users (id, organization_id, email, password_hash,
                               first_name, last_name, role)
            SELECT '{DEFAULT_ADMIN_ID}', id, 'admin@partman.com', '!',
                   'Admin', 'User', 'system_owner'
            FROM organizations
            WHERE subdomain = 'default'
            ON CONFLICT (organization_id, email) DO NOTHING
        """,
        backwards=f"DELETE FROM users WHERE id = '{DEFAULT_ADMIN_ID}'",
    )

    manager.add_sql(
        forwards=None,
        backwards=f"""
            DO $$
            DECLARE
                found text;
            BEGIN
                -- Whoever adds a row to either of them now has to wait, and then fails.
                PERFORM FROM organizations WHERE id = '{DEFAULT_ORGANIZATION_ID}' FOR UPDATE;
                PERFORM FROM users WHERE id = '{DEFAULT_ADMIN_ID}' FOR UPDATE;

                SELECT string_agg(format('%s %s', rows, kind), ', ' ORDER BY kind) INTO found
                FROM (
                    SELECT 'users' AS kind, count(*) AS rows FROM users
                    WHERE organization_id = '{DEFAULT_ORGANIZATION_ID}'
                        AND id <> '{DEFAULT_ADMIN_ID}'
                    UNION ALL
                    SELECT 'partners', count(*) FROM partners
                    WHERE organization_id = '{DEFAULT_ORGANIZATION_ID}'
                    UNION ALL
                    SELECT 'opportunities', count(*) FROM opportunities
                    WHERE organization_id = '{DEFAULT_ORGANIZATION_ID}'
                        OR assigned_user_id = '{DEFAULT_ADMIN_ID}'
                    UNION ALL
                    SELECT 'quarterly goals', count(*) FROM quarterly_goals
                    WHERE organization_id = '{DEFAULT_ORGANIZATION_ID}'
                        OR user_id = '{DEFAULT_ADMIN_ID}'
                    UNION ALL
                    SELECT 'alerts', count(*) FROM alerts
                    WHERE organization_id = '{DEFAULT_ORGANIZATION_ID}'
                        OR user_id = '{DEFAULT_ADMIN_ID}'
                ) AS dependents
                WHERE rows > 0;

                IF found IS NOT NULL THEN
                    RAISE EXCEPTION 'the default organization or its admin still has %', found
                        USING HINT = 'Move or delete these rows first; '
                            'development data goes with: partman seed clear';
                END IF;
            END
            $$
        """,
    )

    return manager
