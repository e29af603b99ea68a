"""The audit: whether every protection is in place that keeps a tenant from another's rows.

A rule has a name, why it matters, and a query that returns the gaps with the SQL that closes
them. A new one is a ``Rule`` in the file of its subject, a line in that file's ``RULES``, and a
case in tests/database/audit_cases.
"""

from partman.audit.rule import Gap, Rule
from partman.audit.run import RULES, audit, tenant_tables

__all__ = ["RULES", "Gap", "Rule", "audit", "tenant_tables"]
