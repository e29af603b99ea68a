"""Whole organizations: sign-up, deactivation, deletion."""

from partman.organizations.sign_up import (
    ORGANIZATIONS,
    InvalidSubdomainError,
    SubdomainTakenError,
    create_organization,
)

__all__ = [
    "ORGANIZATIONS",
    "InvalidSubdomainError",
    "SubdomainTakenError",
    "create_organization",
]
