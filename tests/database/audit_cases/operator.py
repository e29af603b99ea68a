"""The operator and the reports: what they may do outside of tenant()."""

from tests.database.audit_cases.case import Case

_ALL = "CREATE POLICY all_of_them ON partners FOR SELECT TO partman_operator USING (true)"

OPERATOR = (
    Case("operator-policy", _ALL, "all_of_them ON public.partners"),
    Case(
        "operator-policy",
        "ALTER POLICY operator_access ON users USING (true)",
        "operator_access ON public.users",
    ),
    *(
        Case("operator-rights", f"GRANT {right} TO partman_operator", f"public.{table}")
        for right, table in (
            ("DELETE ON partners", "partners"),
            ("UPDATE (password_hash) ON users", "users"),
            ("TRUNCATE ON organizations", "organizations"),
        )
    ),
    *(
        Case("reports-rights", f"GRANT {right} TO partman_reports", f"public.{name}")
        for right, name in (
            ("SELECT ON users", "users"),
            ("UPDATE (name) ON partners", "partners"),
            ("INSERT ON report_pipeline", "report_pipeline"),
        )
    ),
    Case(
        "operator-inherits",
        "GRANT partman_operator TO partman_api WITH INHERIT TRUE",
        "partman_api",
        frozenset({"rights-outside-a-tenant"}),
        superuser=True,
        since=16,
    ),
    Case(
        "role-membership",
        "GRANT partman_operator TO partman_console",
        "partman_console",
        superuser=True,
    ),
    Case(
        "role-membership",
        "GRANT partman_operator TO partman_api WITH ADMIN OPTION",
        "partman_api",
        superuser=True,
    ),
    Case(
        "role-attributes", "ALTER ROLE partman_operator BYPASSRLS", "partman_operator",
        superuser=True,
    ),
    Case(
        "console-tables",
        "GRANT SELECT (password) ON console_accounts TO partman_operator",
        "public.console_accounts",
    ),
)  # fmt: skip
