"""Migrations of the partman app, in the order of their IDs."""
