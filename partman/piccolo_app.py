"""Tells Piccolo where partman's tables and migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from partman.tables import CONSOLE_TABLES, DATABASE_EXTRAS, TABLES

__all__ = ["APP_CONFIG", "DATABASE_EXTRAS"]

APP_CONFIG = AppConfig(
    app_name="partman",
    migrations_folder_path=Path(__file__).parent / "piccolo_migrations",
    table_classes=[*TABLES, *CONSOLE_TABLES],
)
