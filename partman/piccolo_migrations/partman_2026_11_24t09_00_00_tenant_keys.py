"""Keys that keep a tenant's rows among themselves, and an index for each of them.

A foreign key is checked without regard to policies, so it has to say the organization itself.
Each name of an index stays. Two of them repeated the index of a unique constraint, whose own
index takes the name; three get the organization in front.
"""

from piccolo.columns.base import OnDelete
from piccolo.columns.column_types import ForeignKey
from piccolo.constraints import Unique

from partman.migration import MigrationManager
from partman.tables.columns import TenantReference, Varchar
from partman.tables.constraints import TenantForeignKey

ID = "2026-11-24T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "tenant keys"

GOALS_KEY = "quarterly_goals_organization_id_user_id_quarter_year_goal_t_key"
GOALS_SCOPE = "(organization_id, user_id, quarter, year, goal_type)"

# Table, its class, column, what it refers to, and what becomes of the row when that is deleted.
REFERENCES = [
    ("opportunities", "Opportunity", "partner_id", "partners", "CASCADE"),
    ("opportunities", "Opportunity", "assigned_user_id", "users", "SET NULL"),
    ("quarterly_goals", "QuarterlyGoal", "user_id", "users", "CASCADE"),
    ("alerts", "Alert", "user_id", "users", "CASCADE"),
]

INDEXES = [
    ("idx_opportunities_partner", "opportunities", "partner_id"),
    ("idx_opportunities_assigned_user", "opportunities", "assigned_user_id"),
    ("idx_alerts_user_status", "alerts", "user_id, status"),
]


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.online()
    _require(manager)
    with manager.done_in_sql():
        _tell_piccolo(manager)
    _unique_keys(manager)
    _goals_key(manager)
    for table, _, column, referenced, on_delete in REFERENCES:
        _foreign_key(manager, table, column, referenced, on_delete)
    for name, table, columns in INDEXES:
        _index(manager, name, table, columns)
    return manager


def _require(manager):
    for table, _, column, referenced, _ in REFERENCES:
        manager.require_no_rows(
            f"{table}.{column} names a row of the same organization",
            f"""
            SELECT referring.id FROM {table} referring
            JOIN {referenced} referred ON referred.id = referring.{column}
            WHERE referred.organization_id <> referring.organization_id
            """,
        )
    manager.require_no_rows(
        "there is one goal of a kind for a quarter and a user, or for a quarter and nobody",
        """
        SELECT id FROM (
            SELECT id, count(*) OVER (
                PARTITION BY organization_id, user_id, quarter, year, goal_type
            ) AS times
            FROM quarterly_goals
        ) AS goals
        WHERE times > 1
        """,
    )


def _unique_keys(manager):
    for table in ("users", "partners"):
        name = f"{table}_organization_id_id_key"
        manager.add_sql(
            forwards=f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} (organization_id, id)",
            backwards=None,
        )
        manager.add_sql(
            forwards=f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}",
            backwards=f"ALTER TABLE {table} DROP CONSTRAINT {name}",
        )
    for index, table, columns, constraint in (
        (
            "idx_organizations_subdomain",
            "organizations",
            "subdomain",
            "organizations_subdomain_key",
        ),
        (
            "idx_users_org_email",
            "users",
            "organization_id, email",
            "users_organization_id_email_key",
        ),
    ):
        manager.add_sql(
            forwards=None, backwards=f"CREATE INDEX CONCURRENTLY {index} ON {table} ({columns})"
        )
        manager.add_sql(
            forwards=[
                f"DROP INDEX {index}",
                f"ALTER TABLE {table} RENAME CONSTRAINT {constraint} TO {index}",
            ],
            backwards=f"ALTER TABLE {table} RENAME CONSTRAINT {index} TO {constraint}",
        )


def _goals_key(manager):
    """Nobody, as the user of a goal, is nobody else: NULLs were all distinct."""
    manager.add_sql(
        forwards=f"""
            CREATE UNIQUE INDEX CONCURRENTLY quarterly_goals_scope_key
            ON quarterly_goals {GOALS_SCOPE} NULLS NOT DISTINCT
        """,
        backwards=None,
    )
    manager.add_sql(
        forwards=[
            "ALTER TABLE quarterly_goals ADD CONSTRAINT quarterly_goals_scope_key"
            " UNIQUE USING INDEX quarterly_goals_scope_key",
            f"ALTER TABLE quarterly_goals DROP CONSTRAINT {GOALS_KEY}",
        ],
        backwards=[
            f"ALTER TABLE quarterly_goals ADD CONSTRAINT {GOALS_KEY} UNIQUE USING INDEX {GOALS_KEY}",
            "ALTER TABLE quarterly_goals DROP CONSTRAINT quarterly_goals_scope_key",
        ],
    )
    manager.add_sql(
        forwards=None,
        backwards=f"CREATE UNIQUE INDEX CONCURRENTLY {GOALS_KEY} ON quarterly_goals {GOALS_SCOPE}",
    )


def _foreign_key(manager, table, column, referenced, on_delete):
    old, new = f"{table}_{column}_fkey", f"{table}_organization_id_{column}_fkey"
    spared = f" ({column})" if on_delete == "SET NULL" else ""
    # A goal whose user is gone would be one of the organization's own, of which there is one.
    before = "SET NULL" if table == "quarterly_goals" else on_delete
    manager.add_sql(
        forwards=f"""
            ALTER TABLE {table} ADD CONSTRAINT {new} FOREIGN KEY (organization_id, {column})
            REFERENCES {referenced} (organization_id, id) ON DELETE {on_delete}{spared} NOT VALID
        """,
        backwards=f"ALTER TABLE {table} DROP CONSTRAINT {new}",
    )
    manager.add_sql(
        forwards=f"ALTER TABLE {table} VALIDATE CONSTRAINT {new}",
        backwards=f"ALTER TABLE {table} VALIDATE CONSTRAINT {old}",
    )
    manager.add_sql(
        forwards=f"ALTER TABLE {table} DROP CONSTRAINT {old}",
        backwards=f"""
            ALTER TABLE {table} ADD CONSTRAINT {old} FOREIGN KEY ({column})
            REFERENCES {referenced} (id) ON DELETE {before} NOT VALID
        """,
    )


def _index(manager, name, table, columns):
    manager.add_sql(
        forwards=f"CREATE INDEX CONCURRENTLY {name}_new ON {table} (organization_id, {columns})",
        backwards=[f"DROP INDEX {name}", f"ALTER INDEX {name}_old RENAME TO {name}"],
    )
    manager.add_sql(
        forwards=[f"DROP INDEX {name}", f"ALTER INDEX {name}_new RENAME TO {name}"],
        backwards=f"CREATE INDEX CONCURRENTLY {name}_old ON {table} ({columns})",
    )


def _tell_piccolo(manager):
    manager.alter_column(
        table_class_name="Organization",
        tablename="organizations",
        column_name="subdomain",
        db_column_name="subdomain",
        params={"unique": False},
        old_params={"unique": True},
        column_class=Varchar,
        old_column_class=Varchar,
        schema=None,
    )
    for table, class_name, column, referenced, on_delete in REFERENCES:
        changed = table == "quarterly_goals"
        manager.alter_column(
            table_class_name=class_name,
            tablename=table,
            column_name=column.removesuffix("_id"),
            db_column_name=column,
            params={"on_delete": OnDelete.cascade} if changed else {},
            old_params={"on_delete": OnDelete.set_null} if changed else {},
            column_class=TenantReference,
            old_column_class=ForeignKey,
            schema=None,
        )
        manager.add_constraint(
            table_class_name=class_name,
            tablename=table,
            constraint_name=f"{table}_organization_id_{column}_fkey",
            constraint_class=TenantForeignKey,
            params={"column": column, "references": referenced, "on_delete": on_delete},
            schema=None,
        )
    for class_name, table, name, columns, nulls_distinct in (
        ("Organization", "organizations", "idx_organizations_subdomain", ["subdomain"], True),
        ("User", "users", "idx_users_org_email", ["organization_id", "email"], True),
        ("User", "users", "users_organization_id_id_key", ["organization_id", "id"], True),
        ("Partner", "partners", "partners_organization_id_id_key", ["organization_id", "id"], True),
        (
            "QuarterlyGoal",
            "quarterly_goals",
            "quarterly_goals_scope_key",
            GOALS_SCOPE.strip("()").split(", "),
            False,
        ),
    ):
        manager.add_constraint(
            table_class_name=class_name,
            tablename=table,
            constraint_name=name,
            constraint_class=Unique,
            params={"columns": columns, "nulls_distinct": nulls_distinct},
            schema=None,
        )
    for class_name, table, name in (
        ("User", "users", "users_organization_id_email_key"),
        ("QuarterlyGoal", "quarterly_goals", GOALS_KEY),
    ):
        manager.drop_constraint(
            table_class_name=class_name, tablename=table, constraint_name=name, schema=None
        )
