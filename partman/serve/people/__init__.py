"""Accounts, sessions and sign-in of the service."""
