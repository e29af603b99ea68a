"""The tenancy of this project."""

from partman.isolation import Roles, Tenancy

TENANCY = Tenancy(roles=Roles(operator="partman_operator", reports="partman_reports"))
"""The tenants are organizations; all other names are the defaults."""
