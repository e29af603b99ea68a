"""Is every protection in place that keeps one tenant from another's rows?

A rule has a name, why it matters, and a query that returns the gaps with the SQL that closes
them. A new one is a ``Rule`` in the file of its subject, a line in that file's ``RULES``, and a
case in tests/database/test_check.py.
"""

from partman.audit.audit import RULES, audit, tenant_tables
from partman.audit.rule import Gap, Rule

__all__ = ["RULES", "Gap", "Rule", "audit", "tenant_tables"]
