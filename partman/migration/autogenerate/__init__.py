"""Writes the migrations that the table classes ask for."""
