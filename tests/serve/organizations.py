"""Two organizations with a row in each table, and their accounts of the console."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from partman.tables.console_accounts import ConsoleAccount
from tests.support import Database, execute, temporary_database

PASSWORD = "correct horse battery staple"
_FAST = ConsoleAccount.hash_password(PASSWORD, "salt", 1)
PRODUCT_HASH = "$2b$12$the.hash.of.a.user.of.the.product"

MICROSECONDS = "2026-01-02 03:04:05.678901+00"


@dataclass(frozen=True)
class Account:
    """An account that may sign in to the console."""

    id: int
    address: str


@dataclass(frozen=True)
class Organization:
    """An organization, and its row in each table."""

    id: UUID
    subdomain: str

    @property
    def name(self) -> str:
        return self.subdomain.title()

    @property
    def rows(self) -> dict[str, UUID]:
        """The ID of its row, by table."""
        return {"organizations": self.id} | {
            table: UUID(int=self.id.int + number) for number, table in enumerate(OF_A_TENANT, 1)
        }


OF_A_TENANT = ("users", "partners", "opportunities", "quarterly_goals", "alerts")
TABLES = ("organizations", *OF_A_TENANT)

ACME = Organization(UUID(int=0xA << 124), "acme")
BRAVO = Organization(UUID(int=0xB << 124), "bravo")

ANN = Account(1001, "ann@acme.example")
"""The admin of Acme."""
BOB = Account(1002, "bob@bravo.example")
"""The admin of Bravo."""
OLGA = Account(1003, "olga@platform.example")
"""An operator."""


@contextmanager
def organizations(template: Database) -> Iterator[Database]:
    """A clone of a migrated database with the two organizations."""
    with temporary_database(template.name) as database:
        execute(
            database.url,
            *(statement for org in (ACME, BRAVO) for statement in _organization(org)),
            _account(ANN, ACME),
            _account(BOB, BRAVO),
            _account(OLGA, None),
        )
        yield database


def _organization(org: Organization) -> Iterator[str]:
    name, rows = org.name, org.rows
    yield (
        "INSERT INTO organizations (id, name, subdomain, settings)"
        f" VALUES ('{org.id}', '{name}', '{org.subdomain}', '{json.dumps({'of': name})}')"
    )
    yield (
        "INSERT INTO users (id, organization_id, email, password_hash, first_name, last_name, role)"
        f" VALUES ('{rows['users']}', '{org.id}', 'user@{org.subdomain}.example',"
        f" '{PRODUCT_HASH}', 'U', '{name}', 'viewer')"
    )
    yield (
        "INSERT INTO partners (id, organization_id, name, domain, commission_structure, created_at)"
        f" VALUES ('{rows['partners']}', '{org.id}', 'Partner of {name}', 'partner.example',"
        f""" '{{"rate": 10, "on":   true}}', '{MICROSECONDS}')"""
    )
    yield (
        "INSERT INTO opportunities (id, organization_id, partner_id, assigned_user_id,"
        " customer_name, deal_value, stage, expected_close_date, notes)"
        f" VALUES ('{rows['opportunities']}', '{org.id}', '{rows['partners']}', '{rows['users']}',"
        f" 'Customer of {name}', 1234.50, 'negotiation', '2026-12-31', 'Notes of {name}')"
    )
    yield (
        "INSERT INTO quarterly_goals"
        " (id, organization_id, user_id, quarter, year, goal_type, target_value)"
        f" VALUES ('{rows['quarterly_goals']}', '{org.id}', '{rows['users']}', 1, 2026, 'revenue',"
        " 1000)"
    )
    yield (
        "INSERT INTO alerts"
        " (id, organization_id, user_id, alert_type, entity_type, title, message)"
        f" VALUES ('{rows['alerts']}', '{org.id}', '{rows['users']}', 'late', 'partner',"
        f" 'Alert of {name}', 'Message of {name}')"
    )


def _account(account: Account, organization: Organization | None) -> str:
    of = f"'{organization.id}'" if organization else "NULL"
    return (
        "INSERT INTO console_accounts (id, username, password, email, active, admin, superuser,"
        f" organization_id) VALUES ({account.id}, '{account.address}', '{_FAST}',"
        f" '{account.address}', true, true, {organization is None}, {of})"
    )
