"""The audit: whether every protection is in place that keeps a tenant from another's rows.

A rule has a name, why it matters, and a query that returns the gaps with the SQL that closes
them. A new one is a ``Rule`` in the file of its subject, returned by that file's ``rules()``, and a
case in tests/database/audit_cases. An app has more of its own: ``PartmanConfig.audit_rules``.
"""

from partman.audit.rule import Gap, Rule
from partman.audit.run import Audit, global_keys, project_audit, rules_for

__all__ = ["Audit", "Gap", "Rule", "global_keys", "project_audit", "rules_for"]
