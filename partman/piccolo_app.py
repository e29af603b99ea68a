"""Tells Piccolo where partman's tables and migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from partman.apps import PartmanConfig
from partman.tables import ALL_TABLES, CONSOLE_TABLES, DATABASE_EXTRAS

APP_CONFIG = AppConfig(
    app_name="partman",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=list(ALL_TABLES),
)

PARTMAN_CONFIG = PartmanConfig(
    database_extras=DATABASE_EXTRAS,
    rows="seeds.rows_for_verify:fill",
    development_rows="seeds.cli:fill",
    console="partman.accounts.console_config:CONSOLE",
    commands={
        "admin": "partman.accounts.commands:app",
        "organization": "partman.organizations.commands:app",
        "seed": "seeds.cli:app",
    },
    audit_rules="partman.accounts.audit_rules:RULES",
    tables_without_tenant=frozenset(table._meta.tablename for table in CONSOLE_TABLES),
)
