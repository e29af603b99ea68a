"""Compare databases with the results of migrations and table classes."""
