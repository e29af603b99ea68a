"""The tables in which migrations are recorded, beside the schema itself.

They are left out wherever the schema is looked at, in whichever PostgreSQL schema they are: that
depends on the search_path of the role that ran the migrations.
"""

LEDGER = "migration"
"""Piccolo's: which migrations are applied."""
HISTORY = "migration_history"
"""Every run of a migration."""
STEPS = "migration_step"
"""The steps of online migrations under way."""

TABLES = (LEDGER, HISTORY, STEPS)
OBJECTS = (*TABLES, "migration_history_is_append_only")
"""The tables, and the function that their triggers call."""
