"""The database and its schemas: where something could be made that shadows the real thing."""

from partman.audit.rule import Rule
from partman.isolation import Tenancy


def rules(_: Tenancy) -> tuple[Rule, ...]:
    """Return the rules about them."""
    return DATABASE_RIGHTS, SCHEMA_CREATE, SCHEMA_USAGE


DATABASE_RIGHTS = Rule(
    "database-rights",
    "A temporary table hides the real one of its name from whoever uses the pooled connection "
    "next, and a schema can hide a whole set of them.",
    """
    SELECT quote_ident(current_database()) AS object,
           format('%s may create %s.', string_agg(DISTINCT actor.name, ', '),
                  string_agg(DISTINCT made, ' and ')) AS reason,
           format('REVOKE %s ON DATABASE %I FROM %s;',
                  string_agg(DISTINCT privilege, ', '), current_database(),
                  (SELECT string_agg(name, ', ') FROM actor)) AS remedy
    FROM actor
    CROSS JOIN (
        VALUES ('TEMPORARY', 'temporary tables'), ('CREATE', 'schemas')
    ) AS possible (privilege, made)
    WHERE has_database_privilege(actor.role, current_database(), privilege)
    HAVING count(*) > 0
    """,
)

SCHEMA_CREATE = Rule(
    "schema-create",
    "Who may create in a schema can put a table or a function where others look for theirs.",
    """
    SELECT s.name AS object,
           format('%s may create in the schema.', string_agg(actor.name, ', ')) AS reason,
           format('REVOKE CREATE ON SCHEMA %s FROM %s;', s.name,
                  (SELECT string_agg(name, ', ') FROM actor)) AS remedy
    FROM user_schema s
    CROSS JOIN actor
    WHERE has_schema_privilege(actor.role, s.oid, 'CREATE')
    GROUP BY s.name
    """,
)

SCHEMA_USAGE = Rule(
    "schema-usage",
    "With USAGE for PUBLIC, one careless GRANT opens a table to every role of the server.",
    """
    SELECT s.name AS object,
           'PUBLIC has USAGE of a schema with tenant tables.' AS reason,
           format('REVOKE USAGE ON SCHEMA %s FROM PUBLIC;', s.name) AS remedy
    FROM user_schema s
    WHERE has_schema_privilege('public', s.oid, 'USAGE')
        AND EXISTS (
            SELECT FROM tenant t JOIN pg_class c ON c.oid = t.oid WHERE c.relnamespace = s.oid
        )
    """,
)
