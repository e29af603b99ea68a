"""The rows of the load test, and what must be true of them afterwards.

Each text begins with its organization's subdomain, so that a row of another one is seen at once.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import bcrypt

PASSWORD = "correct horse"  # noqa: S105 -- of rows that exist for a minute
PARTNERS, DEALS = 20, 200
"""Rows of each organization at the beginning."""

_FILL = """
INSERT INTO organizations (name, subdomain)
SELECT format('org-%s: it', n), format('org-%s', n) FROM generate_series(1, $1) n;
"""
_USERS = """
INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)
SELECT id, subdomain || '@example.com', $1, 'Ann', 'Example', 'admin' FROM organizations
WHERE subdomain LIKE 'org-%'
"""
_PARTNERS = f"""
INSERT INTO partners (organization_id, name, domain, commission_structure)
SELECT id, format('%s: partner %s', subdomain, n), 'example.com', '{{}}'
FROM organizations, generate_series(1, {PARTNERS}) n WHERE subdomain LIKE 'org-%'
"""
_DEALS = f"""
INSERT INTO opportunities (organization_id, partner_id, customer_name, deal_value, stage,
    expected_close_date, actual_close_date)
SELECT o.id, p.id, format('%s: customer %s', subdomain, n), n,
    (ARRAY['proposal', 'negotiation', 'closed_won'])[1 + n % 3], date '2026-01-01' + n % 90,
    date '2026-01-01' + n % 90
FROM organizations o JOIN partners p ON p.organization_id = o.id,
    generate_series(1, {DEALS // PARTNERS}) n WHERE subdomain LIKE 'org-%'
"""
_FOREIGN = """
SELECT count(*) FROM organizations o
JOIN (SELECT organization_id, name FROM partners
      UNION ALL SELECT organization_id, customer_name FROM opportunities) rows
    ON rows.organization_id = o.id
WHERE subdomain LIKE 'org-%' AND NOT starts_with(rows.name, subdomain || ':')
"""


@dataclass(frozen=True)
class Afterwards:
    """What the database shows after a run."""

    foreign: int
    """Rows that were stored in another organization than the client's."""
    lost: int
    """Rows whose storing was reported, and that are not there."""


async def fill(url: str, organizations: int) -> dict[str, UUID]:
    """Create the organizations and their rows; return a partner's ID for each subdomain."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_FILL.replace("$1", str(organizations)))
        await connection.execute(_USERS, hashed)
        await connection.execute(f"{_PARTNERS}; {_DEALS}; ANALYZE")
        rows = await connection.fetch(
            "SELECT DISTINCT ON (subdomain) subdomain, p.id FROM partners p"
            " JOIN organizations o ON o.id = organization_id WHERE subdomain LIKE 'org-%'"
        )
        return {row["subdomain"]: row["id"] for row in rows}
    finally:
        await connection.close()


async def look_afterwards(url: str, reported: Collection[str]) -> Afterwards:
    """Check the rows. Raises LockNotAvailableError if a transaction was left open."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE partners, opportunities, users NOWAIT")
            foreign = await connection.fetchval(_FOREIGN)
            stored = {row["name"] for row in await connection.fetch("SELECT name FROM partners")}
        return Afterwards(foreign, len(set(reported) - stored))
    finally:
        await connection.close()
