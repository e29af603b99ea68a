"""Names of the tables in which migrations are recorded.

They are in the schema ``public``. Whatever reads the schema leaves them out, in any PostgreSQL
schema.
"""

LEDGER = "migration"
"""Piccolo's ledger: the migrations that are applied."""
HISTORY = "migration_history"
"""Every run of a migration."""
STEPS = "migration_step"
"""The completed steps of unfinished online migrations."""

DISTRIBUTION = "migration_distribution"
"""What ``partman distribute`` has done. Only a database that it was run on has this table."""

TABLES = (LEDGER, HISTORY, STEPS)
"""The tables of every database."""
ALL_TABLES = (*TABLES, DISTRIBUTION)
FUNCTIONS = ("migration_history_is_append_only",)
"""The function of the history's trigger."""
OBJECTS = (*ALL_TABLES, *FUNCTIONS)
