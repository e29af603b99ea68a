"""The partner-management database as code."""

__version__ = "1.0.0"
