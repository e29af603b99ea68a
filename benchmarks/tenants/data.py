"""Create 2,000 organizations of very different sizes, with 2 million opportunities.

The database is created once and kept with the server's data; its comment identifies the statements
that created it. The rows of all organizations are mixed, as when all add some every day.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks import ROOT
from benchmarks.projects import whole_project
from benchmarks.server import Server

ORGANIZATIONS = 2_000
OPPORTUNITIES = 2_000_000
_PORTIONS = 20

_SIZES = """
CREATE TABLE benchmark_sizes AS
SELECT rank, md5('organization ' || rank)::uuid AS id, deals,
    greatest(1, deals / 40) AS partners, greatest(1, deals / 200) AS users
FROM (
    SELECT rank, greatest(1, round({deals} * weight / sum(weight) OVER ()))::integer AS deals
    FROM generate_series(1, {organizations}) AS rank, power(rank + 4, -1.5) AS weight
) AS ranked
"""
"""The largest has a tenth of the rows; half of the organizations together have a thirtieth."""

_ORGANIZATIONS = """
INSERT INTO organizations (id, name, subdomain, subscription_tier)
SELECT id, 'Organization ' || rank, 'tenant-' || rank, 'professional' FROM benchmark_sizes
"""

_USERS = """
INSERT INTO users (id, organization_id, email, password_hash, first_name, last_name, role)
SELECT md5(format('user %s %s', rank, n))::uuid, id, format('user%s@example.com', n), '!',
    (ARRAY['Ada', 'Ben', 'Cleo', 'Dan', 'Eve'])[1 + n % 5], 'Person ' || n, 'sales_rep'
FROM benchmark_sizes, generate_series(1, users) AS n
"""

_PARTNERS = """
INSERT INTO partners (id, organization_id, name, domain, commission_structure)
SELECT md5(format('partner %s %s', rank, n))::uuid, id, 'Partner ' || n,
    format('partner%s.example.com', n), '{"type": "referral", "rate": 10}'
FROM benchmark_sizes, generate_series(1, partners) AS n
"""

_GOALS = """
INSERT INTO quarterly_goals
    (organization_id, user_id, quarter, year, goal_type, target_value, current_value)
SELECT organization_id, id, quarter, 2026, 'revenue', 100000, 25000
FROM users, generate_series(1, 4) AS quarter
"""

_ALERTS = """
INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)
SELECT organization_id, id, 'stage_change', 'opportunity', 'A deal has moved', repeat('word ', 15)
FROM users, generate_series(1, 20)
"""

_OPPORTUNITIES = """
INSERT INTO opportunities (
    organization_id, partner_id, assigned_user_id, customer_name, customer_contact, deal_value,
    stage, probability, expected_close_date, commission_details, notes, status
)
SELECT id, md5(format('partner %s %s', rank, 1 + floor(random() * partners)))::uuid,
    CASE WHEN random() < 0.9
        THEN md5(format('user %s %s', rank, 1 + floor(random() * users)))::uuid END,
    concat_ws(' ',
        ('{{Acme,Borealis,Cobalt,Delta,Ember,Fjord,Granite,Harbor,Indigo,Juniper,Kestrel,Lumen,'
         'Meridian,Nimbus,Orchard,Pinnacle,Quartz,Redwood,Summit,Tundra}}'::text[])
            [1 + floor(random() * 20)],
        ('{{Air,Bank,Cargo,Data,Energy,Foods,Games,Health,Insurance,Justice,Kitchens,Logistics,'
         'Media,Networks,Optics,Power,Robotics,Steel,Telecom,Water}}'::text[])
            [1 + floor(random() * 20)],
        floor(random() * 1000)
    ),
    jsonb_build_object(
        'region', ('{{EMEA,APAC,AMER,LATAM}}'::text[])[1 + floor(random() * 4)],
        'industry', 'industry ' || floor(random() * 200)
    ),
    -- A normal distribution, which only PostgreSQL 16 has a function for.
    round(exp(9 + 1.2 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::numeric, 2),
    stage, 50,
    date '2026-11-01' + floor(random() * 1000 - 820)::integer,
    '{{"type": "referral", "rate": 10}}', repeat('word ', 20),
    CASE stage WHEN 'closed_won' THEN 'won' WHEN 'closed_lost' THEN 'lost' ELSE 'open' END
FROM (
    SELECT sizes.*, (
        '{{prospecting,prospecting,qualification,qualification,proposal,negotiation,'
        'closed_won,closed_won,closed_won,closed_won,closed_won,closed_won,closed_won,closed_won,'
        'closed_lost,closed_lost,closed_lost,closed_lost,closed_lost,closed_lost}}'::text[]
    )[1 + floor(random() * 20)] AS stage
    FROM benchmark_sizes AS sizes, generate_series({portion}, deals, {portions})
    ORDER BY random()
) AS deal
"""


@dataclass(frozen=True)
class Tenant:
    """An organization that the queries are run for."""

    name: str
    id: UUID
    opportunities: int


@dataclass(frozen=True)
class Data:
    """A database with the rows."""

    database: str
    organizations: int
    opportunities: int
    tenants: tuple[Tenant, ...]
    """The largest organization, and the one of median size."""


def ensure_data(server: Server, folder: Path, scale: float) -> Data:
    """Return the database of that scale; create it unless the server already has it."""
    organizations = max(4, round(ORGANIZATIONS * scale))
    opportunities = round(OPPORTUNITIES * scale)
    database = f"tenancy_{opportunities}"
    made_from = _made_from(organizations, opportunities)
    if comment(server, database) != made_from:
        _make(server, folder, database, organizations, opportunities)
        server.administer(f"COMMENT ON DATABASE {database} IS '{made_from}'")
    tenants = (("largest", 1), ("median", organizations // 2))
    return Data(
        database,
        organizations,
        _count(server, database),
        tuple(_tenant(server, database, name, rank) for name, rank in tenants),
    )


def comment(server: Server, database: str) -> str | None:
    """Return a database's comment; None without a comment or database."""
    sql = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
    rows = server.administer(sql, database)
    return rows[0][0] if rows else None


def digest(*texts: str) -> str:
    """Return a hash of the texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Print a progress message around a block."""
    print(f"{what} ...", end="", file=sys.stderr, flush=True)
    yield
    print(" done", file=sys.stderr)


def _make(
    server: Server, folder: Path, database: str, organizations: int, opportunities: int
) -> None:
    project = whole_project(folder / "schema", server)
    server.create(database)
    with progress("Migrating"):
        project.migrate(database)
    sizes = _SIZES.format(organizations=organizations, deals=opportunities)
    _fill(server, database, "organizations", sizes, _ORGANIZATIONS)
    _fill(server, database, "users", _USERS)
    _fill(server, database, "partners", _PARTNERS)
    _fill(server, database, "goals and alerts", _GOALS, _ALERTS)
    for portion in range(1, _PORTIONS + 1):
        deals = _OPPORTUNITIES.format(portion=portion, portions=_PORTIONS)
        _fill(server, database, f"opportunities, {portion} of {_PORTIONS}", deals)
    with progress("statistics"):
        finish = ("DROP TABLE benchmark_sizes", "VACUUM (ANALYZE, FREEZE)", "CHECKPOINT")
        server.execute(database, *finish, user="postgres")


def _fill(server: Server, database: str, what: str, *statements: str) -> None:
    # The foreign keys are valid by construction; checking them would take minutes.
    unchecked = "SET session_replication_role = replica"
    with progress(what):
        server.execute(database, unchecked, "SELECT setseed(0.5)", *statements, user="postgres")


def _made_from(organizations: int, opportunities: int) -> str:
    """Return a text that identifies the size, the statements and the migrations."""
    statements = (_SIZES, _ORGANIZATIONS, _USERS, _PARTNERS, _GOALS, _ALERTS, _OPPORTUNITIES)
    migrations = (ROOT / "partman" / "piccolo_migrations").glob("*.py")
    schema = (path.read_text("utf-8") for path in sorted(migrations))
    return f"{organizations} organizations, {opportunities} opportunities, " + digest(
        *statements, *schema
    )


def _tenant(server: Server, database: str, name: str, rank: int) -> Tenant:
    sql = f"SELECT id FROM organizations WHERE subdomain = 'tenant-{rank}'"
    [row] = server.execute(database, sql)
    mine = f"WHERE organization_id = '{row['id']}'"
    return Tenant(name, row["id"], _count(server, database, mine))


def _count(server: Server, database: str, where: str = "") -> int:
    return int(server.execute(database, f"SELECT count(*) FROM opportunities {where}")[0][0])
