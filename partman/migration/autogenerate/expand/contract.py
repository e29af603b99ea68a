"""Write the second half: drop what the first one has left for the old code."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from partman.catalog.ddl import objects, online
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.online import SqlStep
from partman.catalog.ddl.remedy import plan
from partman.catalog.ddl.requirements import RowRequirement
from partman.catalog.ddl.text import SqlStyle, laid_out, style_for
from partman.catalog.expansions import OpenContract, open_contracts, without_leftovers
from partman.catalog.model import Catalog, Column, Constraint, Function, Index, Reference
from partman.migration.autogenerate.expand import trigger
from partman.migration.autogenerate.expand.column import Expanded
from partman.migration.autogenerate.expand.trigger import Side
from partman.migration.autogenerate.render import BackfillStep, MigrationDraft


@dataclass(frozen=True)
class SecondHalf:
    """The second half for the open contracts of one app."""

    app: str
    functions: Collection[Reference]
    """Those of the triggers that go."""
    expected: Catalog
    found: Catalog
    comparable: frozenset[str]
    """The types whose values can be compared."""
    verbatim: bool = False

    def draft(self) -> MigrationDraft:
        """Return the migration.

        Backwards, the old columns are filled before the old code's indexes are built.
        """
        steps: tuple[SqlStep | BackfillStep, ...] = (
            *self._indexes(),
            *self._last_touches(),
            *self._backfills(),
            self._drop(),
        )
        return MigrationDraft(
            self.app,
            online=True,
            steps=steps,
            requirements=(
                *map(self._in_step, self._columns),
                *(
                    self._representable(each)
                    for each in self._columns
                    if each.before.type != each.after.type
                ),
            ),
            suffix="contract",
        )

    @cached_property
    def target(self) -> Catalog:
        """The catalog afterwards."""
        return without_leftovers(self.found, self.expected, self.functions)

    @cached_property
    def _style(self) -> SqlStyle:
        if self.verbatim:
            return SqlStyle(verbatim=True)
        return style_for(self.expected, self.found)

    @cached_property
    def _contracts(self) -> dict[Reference, OpenContract]:
        return {
            function: contract
            for function, contract in open_contracts(self.found).items()
            if function in self.functions
        }

    @cached_property
    def _columns(self) -> list[Expanded]:
        return [self._column(contract) for contract in self._contracts.values()]

    def _column(self, contract: OpenContract) -> Expanded:
        old = self.found.by_reference[contract.old_reference]
        name = Reference("column", f"{contract.table}.{contract.column}")
        new = self.found.by_reference[name]
        assert isinstance(old, Column)
        assert isinstance(new, Column)
        return Expanded(old, new, contract.column, contract.old)

    @cached_property
    def _changes(self) -> list[Change]:
        """The changes, from old columns without defaults, which would fill them with others."""
        old = {contract.old_reference for contract in self._contracts.values()}
        found = replace(
            self.found,
            objects=tuple(
                replace(each, default=None)
                if isinstance(each, Column) and each.reference in old
                else each
                for each in self.found.objects
            ),
        )
        return list(plan(self.target, found, verbatim=self.verbatim).changes)

    def _drop(self) -> SqlStep:
        """Return the step that drops everything; columns first, so that the guard sees the trigger.

        An index goes with its column.
        """
        changes = [
            each for each in self._changes if not isinstance(each.dropped, Index | Constraint)
        ]
        forwards = [
            statement
            for late in (False, True)
            for each in changes
            if isinstance(each.dropped, Column) is not late
            for statement in (each.forwards if each.dropped else ())
        ]
        backwards = [statement for each in reversed(changes) for statement in each.backwards]
        for contract in self._contracts.values():
            if contract.is_renamed:  # until it is filled, no code writes the old column
                column = self._column(contract)
                old, new = self._sides(column)
                body = trigger.mirrored(column, new, old)
                backwards.append(trigger.function(column, body, self._style, replace=True))
        return SqlStep(tuple(forwards), tuple(backwards), None)

    def _sides(self, column: Expanded) -> tuple[Side, Side]:
        old, new = column.before, column.after
        return (
            Side(old.name, old.type, old.type in self.comparable),
            Side(new.name, new.type, new.type in self.comparable),
        )

    def _backfills(self) -> Iterator[BackfillStep]:
        for column in self._columns:
            old, new = column.before, column.after
            yield BackfillStep(
                self._style(column.table),
                backwards=f"{old.name} = {self._cast(column)}",
                where_backwards=f"{old.name} IS NULL AND {new.name} IS NOT NULL",
            )

    def _cast(self, column: Expanded) -> str:
        old, new = column.before, column.after
        return new.name if old.type == new.type else f"{new.name}::{self._style(old.type)}"

    def _last_touches(self) -> Iterator[SqlStep]:
        """Yield what is set, backwards, once the old columns are filled: default, and function."""
        for function, contract in self._contracts.items():
            column = self._column(contract)
            table = self._style(column.table)
            done = []
            if column.before.default is not None:
                alter = f"ALTER TABLE {table} ALTER COLUMN {column.old}"
                done.append(f"{alter} SET DEFAULT {self._style(column.before.default)}")
            its = self.found.by_reference[function]
            if contract.is_renamed and isinstance(its, Function):
                done.append(objects.function(its, self._style, replace=True))
            if done:
                yield SqlStep((), tuple(done), column.table)

    def _indexes(self) -> Iterator[SqlStep]:
        """Yield what builds, backwards, the indexes that old code needs."""
        made = [each for each in self._changes if isinstance(each.dropped, Index | Constraint)]
        for change in made:
            obj = change.dropped
            assert isinstance(obj, Index | Constraint)
            again = Change(change.reference, change.backwards, (), obj)
            steps = online.steps([again], self.found, {obj.parent}, self._style).steps
            yield from (SqlStep((), each.forwards, each.table) for each in reversed(steps))

    def _representable(self, column: Expanded) -> RowRequirement:
        """Return what has to be so before the old column is filled again."""
        old, new = column.before, column.after
        table, kept = self._style(column.table), new.name
        value = f"{kept}::{self._style(old.type)}::{self._style(new.type)}"
        if new.type not in self.comparable:
            kept, value = f"{kept}::text", f"({value})::text"
        query = laid_out(f"SELECT * FROM {table}", f"WHERE {kept} IS DISTINCT FROM {value}")
        words = f"{table}: {new.name} keeps its value as {self._style(old.type)}"
        return RowRequirement(words, query, backwards=True)

    def _in_step(self, column: Expanded) -> RowRequirement:
        table, kept = self._style(column.table), column.old
        value = self._cast(column)
        if column.before.type not in self.comparable:
            kept, value = f"{kept}::text", f"({value})::text"
        query = laid_out(f"SELECT * FROM {table}", f"WHERE {kept} IS DISTINCT FROM {value}")
        words = f"{table}: {column.old} has the value of {column.after.name}"
        return RowRequirement(words, query)
