"""Row level security and its policies, taken away."""

from tests.database.audit_cases.case import Case

_TENANT = "organization_id = current_setting('partman.organization_id')::uuid"
_WITHOUT_ERROR = "organization_id = current_setting('partman.organization_id', true)::uuid"


def _tenant_policy(definition: str) -> Case:
    return Case(
        "tenant-policy",
        f"DROP POLICY tenant_only ON partners; CREATE POLICY tenant_only ON partners {definition}",
        "public.partners",
    )


ROW_SECURITY = (
    Case(
        "row-level-security", "ALTER TABLE partners DISABLE ROW LEVEL SECURITY", "public.partners"
    ),
    Case("row-level-security", "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY", "public.alerts"),
    Case(
        "row-level-security",
        "ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY",
        "public.organizations",
    ),
    Case("tenant-policy", "DROP POLICY tenant_only ON partners", "public.partners"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON alerts USING (true)", "public.alerts"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON alerts WITH CHECK (true)", "public.alerts"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON users TO partman_api", "public.users"),
    Case("tenant-policy", "ALTER POLICY tenant_only ON users TO PUBLIC", "public.users"),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT} OR is_active)",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT.replace('organization_id =', 'id =')})",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_TENANT.replace('partman.', 'app.')})",
        "public.users",
    ),
    Case(
        "tenant-policy",
        f"ALTER POLICY tenant_only ON users USING ({_WITHOUT_ERROR})",
        "public.users",
    ),
    Case("tenant-policy", "DROP POLICY tenant_only ON organizations", "public.organizations"),
    _tenant_policy(f"FOR ALL TO partman_app USING ({_TENANT}) WITH CHECK ({_TENANT})"),
    _tenant_policy(f"AS RESTRICTIVE FOR SELECT TO partman_app USING ({_TENANT})"),
    Case("access-policy", "DROP POLICY tenant_access ON partners", "public.partners"),
    Case(
        "access-policy",
        "DROP POLICY tenant_access ON users;"
        f"CREATE POLICY tenant_access ON users FOR SELECT TO partman_app USING ({_TENANT})",
        "public.users",
    ),
    Case(
        "access-policy",
        "ALTER POLICY tenant_access ON users TO partman_auth",
        "public.users",
        frozenset({"lookup-policy"}),
    ),
    Case(
        "policy-roles",
        "CREATE POLICY open ON partners USING (true)",
        "open ON public.partners",
        frozenset({"policy-condition"}),
    ),
    *(
        Case("policy-condition", breaking, "wider ON public.partners")
        for breaking in (
            "CREATE POLICY wider ON partners TO partman_app USING (true)",
            f"CREATE POLICY wider ON partners TO partman_app USING ({_TENANT}) WITH CHECK (true)",
            f"CREATE POLICY wider ON partners FOR SELECT TO partman_app USING ({_WITHOUT_ERROR})",
            "CREATE POLICY wider ON partners FOR INSERT TO partman_app WITH CHECK (name <> '')",
            f"CREATE POLICY wider ON partners FOR UPDATE TO partman_app USING ({_TENANT} OR true)",
            "CREATE POLICY wider ON partners FOR DELETE TO partman_app USING (status = 'x')",
        )
    ),
    Case(
        "policy-condition",
        "ALTER POLICY tenant_access ON organizations USING (true)",
        "tenant_access ON public.organizations",
    ),
    Case(
        "policy-roles",
        "ALTER POLICY tenant_access ON users TO partman_app, partman_api",
        "tenant_access ON public.users",
    ),
    Case(
        "lookup-policy",
        "CREATE POLICY peek ON users FOR SELECT TO partman_auth USING (true)",
        "peek ON public.users",
    ),
    Case(
        "lookup-policy",
        "CREATE POLICY peek ON users FOR SELECT TO partman_auth USING (is_active)",
        "peek ON public.users",
    ),
    Case(
        "lookup-policy",
        "CREATE POLICY peek ON organizations TO partman_auth USING (is_active)",
        "peek ON public.organizations",
    ),
    Case(
        "lookup-policy",
        "ALTER POLICY auth_lookup ON organizations TO partman_auth, partman_seed",
        "auth_lookup ON public.organizations",
    ),
    Case(
        "active-organizations",
        "ALTER POLICY auth_lookup ON organizations USING (true)",
        "auth_lookup ON public.organizations",
    ),
    Case(
        "partition",
        "CREATE TABLE archive () INHERITS (partners); GRANT SELECT ON archive TO partman_app",
        "public.archive",
    ),
    Case(
        "partition",
        "CREATE TABLE former () INHERITS (organizations); GRANT SELECT (name) ON former TO PUBLIC",
        "public.former",
        frozenset({"rights-outside-a-tenant"}),
    ),
    Case(
        "tenant-policy",
        "CREATE TABLE archive () INHERITS (partners); GRANT SELECT ON archive TO partman_app;"
        "ALTER TABLE archive ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
        "public.archive",
        frozenset({"access-policy"}),
    ),
)
