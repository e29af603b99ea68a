"""The tenancy of this project."""

from partman.isolation import Tenancy

TENANCY = Tenancy()
"""The tenants are organizations; all names are the defaults."""
