"""An application's queries, in SQL.

A line ``AND … = $n`` that compares with the organization is needed if only the query itself
separates the tenants. Inside ``tenant()`` it is left out, because the policy has the condition.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

from benchmarks.server import Server
from benchmarks.tenants.data import Data, Tenant

BULK = 10_000
_OURS = re.compile(r"\n *AND [a-z_.]*organization_id = \$\d+")
_SAMPLES = 100

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Known:
    """IDs of some of a tenant's rows, as arguments of queries."""

    tenant: Tenant
    opportunities: Sequence[UUID]
    partners: Sequence[UUID]
    users: Sequence[UUID]
    bulk: int
    """Number of rows of a bulk insert: 10,000, or fewer for small data."""
    new: Callable[[], int]
    """Returns a new number at each call."""

    def some(self, of: Sequence[UUID], number: int) -> UUID:
        """Return the ID at a position, which wraps around."""
        return of[number % len(of)]


@dataclass(frozen=True)
class Query:
    """A query, with the condition on the organization."""

    name: str
    explicit: str
    arguments: Callable[[Known, int], Arguments]
    """Returns the arguments of the n-th execution, without the organization."""
    writes: bool = False
    scans: bool = False
    """Whether it reads all rows of its tenant, over a bitmap."""

    @property
    def inserts(self) -> bool:
        """Whether the organization is an inserted value, which ``tenant()`` needs as well."""
        return "INSERT" in self.explicit

    @property
    def isolated(self) -> str:
        """The query as it is written inside ``tenant()``."""
        return _OURS.sub("", self.explicit)


def always(*arguments: Any) -> Callable[[Known, int], Arguments]:
    """Return a function that returns the same arguments for each execution."""
    return lambda _known, _number: arguments


_COLUMNS = """(organization_id, partner_id, assigned_user_id, customer_name, deal_value, stage,
    expected_close_date, customer_contact)"""
_CONTACT = '{"region": "EMEA", "industry": "industry 1"}'


def _new_deal(known: Known, number: int) -> Arguments:
    partner = known.some(known.partners, number)
    user = known.some(known.users, number)
    return (partner, user, f"New {known.new()}", Decimal(1000), "prospecting")


def _new_deals(known: Known, _number: int) -> Arguments:
    partners = [known.some(known.partners, number) for number in range(known.bulk)]
    users = [known.some(known.users, number) for number in range(known.bulk)]
    return (partners, users, [f"New {number}" for number in range(known.bulk)])


QUERIES = (
    Query(
        "by id",
        """
        SELECT * FROM opportunities
        WHERE id = $1
          AND organization_id = $2
        """,
        lambda known, n: (known.some(known.opportunities, n),),
    ),
    Query(
        "by stage",
        """
        SELECT id, customer_name, deal_value, expected_close_date FROM opportunities
        WHERE stage = $1
          AND organization_id = $2
        """,
        always("negotiation"),
    ),
    Query(
        "join: a partner's deals, with its name and the user's",
        """
        SELECT deal.id, deal.customer_name, deal.stage, partner.name, person.last_name
        FROM opportunities AS deal
        JOIN partners AS partner ON partner.id = deal.partner_id
          AND partner.organization_id = $2
        LEFT JOIN users AS person ON person.id = deal.assigned_user_id
          AND person.organization_id = $2
        WHERE deal.partner_id = $1
          AND deal.organization_id = $2
        """,
        lambda known, n: (known.some(known.partners, n),),
    ),
    Query(
        "join: report over all open deals, by partner and user",
        """
        SELECT partner.name, person.last_name, count(*), sum(deal.deal_value)
        FROM opportunities AS deal
        JOIN partners AS partner ON partner.id = deal.partner_id
          AND partner.organization_id = $2
        LEFT JOIN users AS person ON person.id = deal.assigned_user_id
          AND person.organization_id = $2
        WHERE deal.status = $1
          AND deal.organization_id = $2
        GROUP BY partner.id, person.id
        ORDER BY sum(deal.deal_value) DESC
        LIMIT 20
        """,
        always("open"),
    ),
    Query(
        "count, by stage",
        """
        SELECT stage, count(*) FROM opportunities
        WHERE true
          AND organization_id = $1
        GROUP BY stage
        """,
        always(),
    ),
    Query(
        "top 20 by value",
        """
        SELECT id, customer_name, deal_value FROM opportunities
        WHERE status = $1
          AND organization_id = $2
        ORDER BY deal_value DESC, id
        LIMIT 20
        """,
        always("open"),
        scans=True,
    ),
    Query(
        "top 20 by close date",
        """
        SELECT id, customer_name, expected_close_date FROM opportunities
        WHERE status = $1
          AND expected_close_date >= $2
          AND organization_id = $3
        ORDER BY expected_close_date, id
        LIMIT 20
        """,
        always("open", date(2026, 11, 24)),
        scans=True,
    ),
    Query(
        "search by name",
        """
        SELECT id, customer_name, deal_value FROM opportunities
        WHERE customer_name ILIKE $1
          AND organization_id = $2
        ORDER BY customer_name, id
        LIMIT 20
        """,
        always("%me bank 1%"),
        scans=True,
    ),
    Query(
        "JSON containment",
        """
        SELECT id, customer_name, deal_value FROM opportunities
        WHERE customer_contact @> $1
          AND organization_id = $2
        """,
        lambda _, n: (f'{{"region": "EMEA", "industry": "industry {n % 200}"}}',),
        scans=True,
    ),
    Query(
        "insert",
        f"""
        INSERT INTO opportunities {_COLUMNS}
        VALUES ($1, $2, $3, $4, $5, $6, '2027-01-31', '{_CONTACT}')
        """,
        _new_deal,
        writes=True,
    ),
    Query(
        "update",
        """
        UPDATE opportunities SET probability = $2, notes = $3
        WHERE id = $1
          AND organization_id = $4
        """,
        lambda known, n: (known.some(known.opportunities, n), n % 101, f"Called, {n}"),
        writes=True,
    ),
    Query(
        f"bulk insert of {BULK:,}",
        f"""
        INSERT INTO opportunities {_COLUMNS}
        SELECT $1, partner, person, name, 1000, 'prospecting', '2027-01-31', '{_CONTACT}'
        FROM unnest($2::uuid[], $3::uuid[], $4::text[]) AS new (partner, person, name)
        """,
        _new_deals,
        writes=True,
    ),
)


def known(server: Server, data: Data, tenant: Tenant) -> Known:
    """Read the IDs of a tenant's rows that the queries need."""

    def ids(table: str) -> list[UUID]:
        sql = f"SELECT id FROM {table} WHERE organization_id = '{tenant.id}' ORDER BY id"
        found = [row["id"] for row in server.execute(data.database, sql)]
        return Random(1).sample(found, min(len(found), _SAMPLES))  # noqa: S311 -- no secret

    numbers = count(1)
    return Known(
        tenant,
        ids("opportunities"),
        ids("partners"),
        ids("users"),
        min(BULK, data.opportunities // 10),
        lambda: next(numbers),
    )
