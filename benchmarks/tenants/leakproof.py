"""Measure which conditions can use an index under row-level security.

PostgreSQL evaluates an operator before the policy only if it is marked LEAKPROOF, that is, reveals
nothing about its arguments, not even by an error. Other operators run after the policy, so they
cannot be index conditions. This is measured on a copy of the data with every index that could help.
"""

from dataclasses import dataclass, replace
from datetime import date

from benchmarks.server import Server
from benchmarks.tenants.compare import Comparison, Effort, compare
from benchmarks.tenants.data import Data, comment, digest, progress
from benchmarks.tenants.queries import Arguments, Query, always
from partman.isolation.row_security import tenant_policies
from partman.tables import TENANCY

_PREPARE = (
    """
    ALTER TABLE opportunities
        ADD COLUMN deal_cents bigint GENERATED ALWAYS AS ((deal_value * 100)::bigint) STORED,
        ADD COLUMN industry text GENERATED ALWAYS AS (customer_contact ->> 'industry') STORED
    """,
    "CREATE INDEX ON opportunities (organization_id, customer_name text_pattern_ops)",
    "CREATE INDEX ON opportunities (organization_id, deal_value)",
    "CREATE INDEX ON opportunities (organization_id, deal_cents)",
    "CREATE INDEX ON opportunities (organization_id, status, deal_value)",
    "CREATE INDEX ON opportunities (organization_id, status, expected_close_date)",
    "CREATE INDEX ON opportunities USING gin (customer_contact jsonb_path_ops)",
    "CREATE INDEX ON opportunities (organization_id, (customer_contact ->> 'industry'))",
    "CREATE INDEX ON opportunities (organization_id, industry)",
    "CREATE EXTENSION pg_trgm",
    "CREATE INDEX ON opportunities USING gin (customer_name gin_trgm_ops)",
    """
    CREATE TABLE opportunity_words AS
    SELECT organization_id, word, id AS opportunity_id
    FROM opportunities, string_to_table(lower(customer_name), ' ') AS word
    """,
    "CREATE INDEX ON opportunity_words (organization_id, word, opportunity_id)",
    *tenant_policies(TENANCY, "opportunity_words", "organization_id"),
    f"GRANT SELECT ON opportunity_words TO {TENANCY.roles.app}",
    "VACUUM (ANALYZE) opportunity_words",
    "VACUUM (ANALYZE) opportunities",
)


@dataclass(frozen=True)
class Form:
    """One way to write a condition."""

    wanted: str
    written: str
    condition: str
    arguments: Arguments
    index: str
    """The index that could serve it."""
    ending: str = ""
    table: str = "opportunities"

    @property
    def query(self) -> Query:
        """The query, with the condition on the organization."""
        number = len(self.arguments) + 1
        tables = ["opportunities", *([self.table] if self.table != "opportunities" else [])]
        ours = "\n".join(f"AND {table}.organization_id = ${number}" for table in tables)
        sql = f"""
            SELECT id, customer_name, deal_value FROM {", ".join(tables)}
            WHERE {self.condition}
            {ours}
            {self.ending}
        """
        return Query(self.written, sql, always(*self.arguments))


_TOP = "the top of a list"
_PREFIX, _VALUE, _JSON, _WITHIN = "a name's beginning", "above a value", "in JSON", "within a name"
_NAME_INDEX = "(organization_id, customer_name text_pattern_ops)"
_VALUE_INDEX = "(organization_id, deal_value)"

FORMS = (
    Form(_PREFIX, "customer_name LIKE 'Acme Bank 7%'", "customer_name LIKE $1",
         ("Acme Bank 7%",), _NAME_INDEX),
    Form(_PREFIX, "customer_name ^@ 'Acme Bank 7'", "customer_name ^@ $1",
         ("Acme Bank 7",), _NAME_INDEX),
    Form(_PREFIX, "customer_name ~>=~ 'Acme Bank 7' AND customer_name ~<~ 'Acme Bank 8'",
         "customer_name ~>=~ $1 AND customer_name ~<~ $2", ("Acme Bank 7", "Acme Bank 8"),
         _NAME_INDEX),
    Form(_VALUE, "deal_value > 200000", "deal_value > $1", (200_000,), _VALUE_INDEX),
    Form(_VALUE, "ORDER BY deal_value DESC LIMIT 20", "true", (), _VALUE_INDEX,
         "ORDER BY deal_value DESC LIMIT 20"),
    Form(_VALUE, "deal_value > 200000 ORDER BY deal_value DESC LIMIT 20", "deal_value > $1",
         (200_000,), _VALUE_INDEX, "ORDER BY deal_value DESC LIMIT 20"),
    Form(_VALUE, "stage = 'negotiation' AND deal_value > 200000",
         "stage = $1 AND deal_value > $2", ("negotiation", 200_000), "(organization_id, stage)"),
    Form(_VALUE, "deal_cents > 20000000", "deal_cents > $1", (20_000_000,),
         "(organization_id, deal_cents), a generated bigint"),
    Form(_TOP, "status = 'open' ORDER BY deal_value DESC LIMIT 20", "status = $1", ("open",),
         "(organization_id, status, deal_value)", "ORDER BY deal_value DESC LIMIT 20"),
    Form(_TOP, "status = 'open' AND expected_close_date >= '2026-11-24' "
         "ORDER BY expected_close_date LIMIT 20",
         "status = $1 AND expected_close_date >= $2", ("open", date(2026, 11, 24)),
         "(organization_id, status, expected_close_date)",
         "ORDER BY expected_close_date, id LIMIT 20"),
    Form(_JSON, """customer_contact @> '{"industry": "industry 7"}'""",
         "customer_contact @> $1", ('{"industry": "industry 7"}',),
         "gin (customer_contact jsonb_path_ops)"),
    Form(_JSON, "customer_contact ->> 'industry' = 'industry 7'",
         "customer_contact ->> 'industry' = $1", ("industry 7",),
         "(organization_id, (customer_contact ->> 'industry'))"),
    Form(_JSON, "industry = 'industry 7'", "industry = $1", ("industry 7",),
         "(organization_id, industry), a generated column"),
    Form(_WITHIN, "customer_name ILIKE '%777%'", "customer_name ILIKE $1", ("%777%",),
         "gin (customer_name gin_trgm_ops)"),
    Form(_WITHIN, "word = '777', in a table of words",
         "opportunity_id = opportunities.id AND word = $1", ("777",),
         "(organization_id, word, opportunity_id)", table="opportunity_words"),
)  # fmt: skip


def measure_forms(server: Server, data: Data, effort: Effort) -> list[tuple[Form, Comparison]]:
    """Compare each form, for the largest tenant."""
    copy = _copied(server, data)
    queries = [form.query for form in FORMS]
    return list(zip(FORMS, compare(server, copy, data.tenants[0], queries, effort), strict=True))


def _copied(server: Server, data: Data) -> Data:
    """Return the data with the indexes; create it unless the server already has it."""
    database = f"{data.database}_indexed"
    made_from = f"{comment(server, data.database)}, {digest(*_PREPARE)}"
    if comment(server, database) != made_from:
        with progress("Indexes"):
            server.create(database, f"{data.database} STRATEGY FILE_COPY")
            server.execute(database, *_PREPARE)
        server.administer(f"COMMENT ON DATABASE {database} IS '{made_from}'")
    return replace(data, database=database)
