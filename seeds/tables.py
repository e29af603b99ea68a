"""The seeded tables: registered by the project, and with a generator."""

from piccolo.table import Table, sort_table_classes

from partman.apps import table_classes
from partman.isolation import TenantTable
from partman.tables import Organization
from seeds.rows import ROW_TYPES


def seeded_tables() -> tuple[str, ...]:
    """Return the names of the seeded tables, referenced tables first."""
    return tuple(name for name in _tables() if name in ROW_TYPES)


def tables_without_generator() -> tuple[str, ...]:
    """Return the names of the tenants' other tables, which stay empty."""
    return tuple(name for name in _tables() if name not in ROW_TYPES)


def _tables() -> tuple[str, ...]:
    tables = [table for table in table_classes() if _is_of_tenants(table)]
    return tuple(table._meta.tablename for table in sort_table_classes(tables))


def _is_of_tenants(table: type[Table]) -> bool:
    return issubclass(table, Organization | TenantTable)
