"""Which contracts are open: what the migrations build, held against the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from partman.catalog.expansions import MARK, OpenContract, of_comment
from partman.migration.ledger.status import read_ledger

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_COMMENTS = """
SELECT description FROM pg_catalog.pg_description
WHERE classoid = 'pg_catalog.pg_proc'::regclass AND starts_with(description, $1)
ORDER BY description
"""


class ContractState(StrEnum):
    """How far a change in two halves has come."""

    EXPAND_PENDING = "the first half is not applied"
    NOT_WRITTEN = "the second half is not written"
    NOT_APPLIED = "the second half is not applied"
    UNKNOWN = "the database was not read"


@dataclass(frozen=True)
class Contract:
    """An open contract."""

    contract: OpenContract
    state: ContractState
    since: datetime | None
    """When its first half was applied, in the local time of the machine that did."""


async def read_contracts(
    connection: "Connection[Record]", built: Iterable[OpenContract]
) -> tuple[Contract, ...]:
    """Return the contracts that are open in the database, or in what the migrations build.

    ``built`` are those in a database that all migration files have built. Raises the errors of
    read_ledger().
    """
    applied = {row.id: row.ran_on for row in await read_ledger(connection)}
    comments = [row["description"] for row in await connection.fetch(_COMMENTS, MARK)]
    live = [each for each in map(of_comment, comments) if each and each.expanded_by in applied]
    unwritten = list(built)
    found = [
        Contract(
            each,
            ContractState.NOT_WRITTEN
            if each.expanded_by in applied
            else ContractState.EXPAND_PENDING,
            applied.get(each.expanded_by),
        )
        for each in unwritten
    ]
    found += [
        Contract(each, ContractState.NOT_APPLIED, applied[each.expanded_by])
        for each in live
        if each not in unwritten
    ]
    return tuple(found)


def unread_contracts(built: Iterable[OpenContract]) -> tuple[Contract, ...]:
    """Return the contracts of the migrations where the database could not be read."""
    return tuple(Contract(each, ContractState.UNKNOWN, None) for each in built)
