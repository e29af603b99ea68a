"""Find the columns to expand, and write their first half, on the scratch databases of a trial."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.catalog.expansions import OpenContract, column_of, open_contracts
from partman.catalog.model import Catalog, Reference
from partman.errors import NotExpressibleError
from partman.migration.autogenerate.divide import Expand, Task, numbered
from partman.migration.autogenerate.expand import facts
from partman.migration.autogenerate.expand.contract import SecondHalf
from partman.migration.autogenerate.expand.draft import Database, FirstHalf, first_half
from partman.migration.autogenerate.expand.find import Changed, changed_columns
from partman.migration.autogenerate.piccolo_operations import Operations
from partman.migration.autogenerate.render import MigrationDraft
from partman.migration.autogenerate.trial_run import Trial
from partman.migration.verification.rebuild import read_of_classes

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def expanded_columns(
    trial: Trial, asked: Mapping[str, Operations], expected: Catalog, found: Catalog
) -> tuple[Changed, ...]:
    """Return the columns whose change in place would rewrite the table, or that are renamed."""
    changed = changed_columns(asked, expected, found)
    if all(each.is_renamed for each in changed):
        return tuple(changed)
    connection = (await trial.newest.to_read()).reader
    return tuple(
        [
            each
            for each in changed
            if each.is_renamed or await facts.rewrites(connection, each.before, each.after)
        ]
    )


def refuse_open_ones(
    contracts: Iterable[OpenContract],
    asked: Mapping[str, Operations],
    expected: Catalog,
    found: Catalog,
) -> None:
    """Raise NotExpressibleError if a column changes or goes before its contract is written.

    The trigger that keeps another column in step with it would fail for every row.
    """
    changed = {each.before.reference for each in changed_columns(asked, expected, found)}
    for contract in contracts:
        name = Reference("column", f"{contract.table}.{contract.column}")
        if name in changed or name not in expected.by_reference:
            raise NotExpressibleError(
                f"{name.name} cannot be changed again: {contract.expanded_by} has changed it, and "
                "its contract is open. Nothing was written. Write the contract first: "
                'partman new --contract "its name"'
            )


async def second_half(trial: Trial, task: Task) -> list[MigrationDraft]:
    """Return the contract migrations, one for each app that has made a first half."""
    contracts = open_contracts(task.found)
    types = {
        column.type
        for contract in contracts.values()
        for name in (contract.column, contract.old)
        if (column := column_of(task.found, contract.table, name)) is not None
    }
    comparable = await facts.comparable((await trial.newest.to_read()).reader, types)
    by_app: dict[str, list[Reference]] = {}
    for function in contracts:
        app = task.app_of(task.found.by_reference[function], task.expected, task.found)
        by_app.setdefault(app, []).append(function)
    return numbered(
        [
            SecondHalf(app, functions, task.expected, task.found, comparable, task.verbatim).draft()
            for app, functions in by_app.items()
        ],
        task,
    )


def expander(trial: Trial, task: Task) -> Expand:
    """Return the function that writes the first half."""

    async def expand(found: Catalog, drafts: Sequence[MigrationDraft]) -> FirstHalf:
        trial.report("Dividing the change of columns into two releases ...")
        databases = _Databases(trial, drafts)
        return await first_half(
            task.expanded, task.expected, found, databases, verbatim=task.verbatim
        )

    return expand


@dataclass(frozen=True)
class _Databases:
    """The scratch databases, made from a trial."""

    trial: Trial
    drafts: Sequence[MigrationDraft]

    def of_classes(self) -> Database:
        return self.trial.of_classes()

    def before_expansion(self) -> Database:
        return self.trial.applied(self.drafts)

    async def read(self, connection: "Connection[Record]") -> Catalog:
        return await read_of_classes(connection)
