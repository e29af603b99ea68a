"""A service for the browser: real processes on a database with two organizations."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from partman.tables.console_accounts import ConsoleAccount
from seeds.generate import SeedPlan
from tests.database.seeds_helpers import AS_OF
from tests.faults.processes import Zygote, wait_until
from tests.support import Database, execute

PLAN = SeedPlan(seed=1, as_of=AS_OF, organizations=2, opportunities=24)
"""The rows of the two organizations."""

PASSWORD = "correct horse battery"
OPERATOR = "olivia@platform.example"
ADMIN = "ada@first.example"
OTHER_ADMIN = "ben@second.example"

HASH = "$2b$12$this.must.never.be.seen.by.anybody"
"""The password hash of the product's users."""

MARK = "of the second"
"""A part of the names of the second organization's rows, and of no others."""

PASSWORD_HASH = ConsoleAccount.hash_password(PASSWORD, "salt", 1_000)
"""The password hash of the console's accounts; a thousand iterations are fast."""


@dataclass(frozen=True)
class Organization:
    """One of the two organizations."""

    id: UUID
    name: str
    subdomain: str


@dataclass(frozen=True)
class Site:
    """A running service and its database."""

    url: str
    database: Database

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Query the database as its owner."""
        connection = await asyncpg.connect(self.database.url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def row(self, sql: str, *arguments: object) -> asyncpg.Record:
        [found] = await self.rows(sql, *arguments)
        return found

    async def value(self, sql: str, *arguments: object) -> Any:
        return (await self.row(sql, *arguments))[0]


@contextmanager
def serving(
    zygote: Zygote,
    database: Database,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = ("partman", "serve", "--port", "0"),
) -> Iterator[Site]:
    """Run the service for the duration of a block."""
    process = zygote.start(*command, environment=environment or database.environment)
    try:
        said = wait_until(
            lambda: re.search(r"serving at (http://[\d.:]+\d)", process.stderr), "it served"
        )
        assert said is not None
        yield Site(said[1], database)
    finally:
        print(process.stderr)  # shown if the test has failed
        process.kill()
        process.wait()


def add_accounts(database: Database, first: UUID, second: UUID) -> None:
    """Add an operator, and an admin for each of two organizations, with the same password."""
    for name, organization in ((OPERATOR, None), (ADMIN, first), (OTHER_ADMIN, second)):
        owner = "NULL" if organization is None else f"'{organization}'"
        execute(
            database.url,
            "INSERT INTO console_accounts (username, email, password, active, admin, superuser,"
            f" organization_id) VALUES ('{name}', '{name}', '{PASSWORD_HASH}', true, true,"
            f" {organization is None}, {owner})",
        )
