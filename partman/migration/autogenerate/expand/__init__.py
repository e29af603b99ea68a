"""Expand and contract: a column gets another type or name while old and new code both work."""
