"""Endpoints for programs: health and metrics."""
