"""Compares databases with what migrations and table classes build."""
