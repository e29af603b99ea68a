"""Many rows at once: ``bulk_insert()``."""

from partman.bulk.bulk_insert import bulk_insert

__all__ = ["bulk_insert"]
