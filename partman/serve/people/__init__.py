"""Signing in to the service, and who has signed in."""
