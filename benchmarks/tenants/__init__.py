"""The cost of tenant isolation: ``python -m benchmarks.tenancy``."""
