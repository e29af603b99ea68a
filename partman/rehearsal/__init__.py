"""Rehearse pending migrations on a copy of a database, with its rows."""
