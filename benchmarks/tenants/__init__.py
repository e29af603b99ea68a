"""What the isolation of tenants costs: ``python -m benchmarks.tenancy``."""
