"""How this project keeps its tenants apart."""

from partman.isolation import Tenancy

TENANCY = Tenancy()
"""The tenants are organizations; all names are the defaults."""
