"""What stands between a statement and the rows: views, copies, rewrite rules."""

from partman.audit.rule import Rule, is_one_of
from partman.isolation import Tenancy


def rules(tenancy: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    app = tenancy.roles.app
    console = tenancy.roles.those_of("console")
    return _view(app, console), _materialized_view(app), _rewrite_rule(app)


def _view(app: str, console: tuple[str, ...]) -> Rule:
    return Rule(
        "view",
        f"A view reads its tables as its owner, whom no policy for {app} binds, unless it is a "
        "security_invoker.",
        f"""
    SELECT r.name AS object,
           'It is no security_invoker, and {" or ".join((app, *console))} may use it.' AS reason,
           format('ALTER VIEW %s SET (security_invoker = true);', r.name) AS remedy
    FROM relation r
    WHERE r.relkind = 'v'
        AND EXISTS (
            SELECT FROM effective e
            WHERE e.oid = r.oid AND (e.role = '{app}' OR {is_one_of("e.role", console)} AND EXISTS (
                SELECT FROM pg_rewrite w
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                WHERE w.ev_class = r.oid AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid IN (SELECT oid FROM tenant)
            ))
        )
        AND NOT EXISTS (
            SELECT FROM pg_options_to_table(r.reloptions)
            WHERE option_name = 'security_invoker' AND option_value::boolean
        )
    """,
    )


def _materialized_view(app: str) -> Rule:
    return Rule(
        "materialized-view",
        "A materialized view is a copy of its owner's view of all tenants, and a foreign table is "
        "read by another server: neither can have a policy.",
        f"""
    SELECT r.name AS object,
           format('{app} may use this %s.',
                  CASE r.relkind WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END)
               AS reason,
           format('REVOKE ALL ON TABLE %s FROM PUBLIC, {app};', r.name) AS remedy
    FROM relation r
    WHERE r.relkind IN ('m', 'f')
        AND EXISTS (SELECT FROM effective e WHERE e.oid = r.oid AND e.role = '{app}')
    """,
    )


def _rewrite_rule(app: str) -> Rule:
    return Rule(
        "rewrite-rule",
        "What a rewrite rule does besides a statement, or in its place, it does as the table's "
        f"owner, whom no policy for {app} binds; on a security_invoker view, too.",
        """
    SELECT format('%I ON %s', w.rulename, r.name) AS object,
           format('It adds to each %s, or does something else.',
                  CASE w.ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END)
               AS reason,
           format('DROP RULE %I ON %s;', w.rulename, r.name) AS remedy
    FROM pg_rewrite w
    JOIN relation r ON r.oid = w.ev_class
    -- ON SELECT is what a view consists of.
    WHERE w.ev_type <> '1'
        AND r.oid IN (SELECT oid FROM tenant UNION ALL SELECT oid FROM effective)
    """,
    )
