"""Benchmarks, run by hand: ``python -m benchmarks.migrations``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
