"""The steps of the first half: from a new column beside the old one to the swap, and back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from partman.catalog.ddl import attributes, objects
from partman.catalog.ddl.change import Change
from partman.catalog.ddl.online import SqlStep
from partman.catalog.ddl.requirements import RowRequirement
from partman.catalog.ddl.text import SqlStyle, laid_out
from partman.catalog.model import Catalog, Column
from partman.catalog.model import Sequence as SequenceObject
from partman.grammar.names import unquoted, without_schema
from partman.migration.autogenerate.expand import dependents, trigger
from partman.migration.autogenerate.expand.column import Expanded, shortened
from partman.migration.autogenerate.expand.dependents import Pair
from partman.migration.autogenerate.expand.trigger import Side
from partman.migration.autogenerate.render import BackfillStep

Step = SqlStep | BackfillStep


@dataclass(frozen=True)
class Expansion:
    """What is expanded in one migration, and how."""

    columns: tuple[Expanded, ...]
    expected: Catalog
    found: Catalog
    """Before the migration."""
    new: tuple[Pair, ...]
    """The dependents of the new columns."""
    old: tuple[Pair, ...]
    """The dependents of the old columns; those that are kept are not built again."""
    comparable: frozenset[str]
    style: SqlStyle

    # Before the swap

    def build(self) -> Iterator[Step]:
        """Yield the steps from the new columns to their dependents."""
        for column in self.columns:
            yield self._add(column)
        for column in self.columns:
            yield self._fill(column)
        for column in self.columns:
            yield from self._check_filled(column, column.new, column.before.name, column.after)
        for pair in self.new:
            yield from dependents.build(pair, self.expected, self.style)

    def build_old(self) -> list[Step]:
        """Return the steps by which the old columns get back their dependents, in that order."""
        steps: list[Step] = []
        for column in self.columns:
            steps += self._check_filled(column, column.old, column.after.name, column.before)
        for pair in self.old:
            if not self.is_kept(pair):
                steps += dependents.build(pair, self.found, self.style)
        return steps

    def _add(self, column: Expanded) -> SqlStep:
        style, after = self.style, column.after
        table = style(column.table)
        collation = f" COLLATE {after.collation}" if after.collation else ""
        added = f"ADD COLUMN {column.new} {style(after.type)}{collation}"
        named = _named(after, column.new)
        comment = (objects.comment(named, style),) if after.comment is not None else ()
        return SqlStep(
            (
                laid_out(f"ALTER TABLE {table}", added),
                *attributes.statements(named, None, style),
                *comment,
                *trigger.create(column, self._first_body(column), style),
                trigger.comment(column, column.before.name, column.new, style),
            ),
            (
                # First, so that the guard sees that a trigger has kept its values in step.
                f"ALTER TABLE {table} DROP COLUMN {column.new}",
                *trigger.drop(column, style),
            ),
            column.table,
        )

    def _first_body(self, column: Expanded) -> str:
        old, new = self._sides(column, column.before.name, column.new)
        return trigger.mirrored(column, old, new)

    def _sides(self, column: Expanded, old: str, new: str) -> tuple[Side, Side]:
        def side(name: str, its: Column) -> Side:
            return Side(name, its.type, its.type in self.comparable)

        return side(old, column.before), side(new, column.after)

    def _fill(self, column: Expanded) -> BackfillStep:
        name = column.before.name
        same = column.before.type == column.after.type
        value = name if same else f"{name}::{self.style(column.after.type)}"
        return BackfillStep(
            self.style(column.table),
            forwards=f"{column.new} = {value}",
            where=f"{column.new} IS NULL AND {name} IS NOT NULL",
        )

    def _check_filled(
        self, column: Expanded, name: str, other: str, its: Column
    ) -> Iterator[SqlStep]:
        table, check = self.style(column.table), self._filled(column)
        condition = f"{name} IS NOT NULL"
        if its.null != "NOT NULL":
            condition = f"({name} IS NULL) = ({other} IS NULL)"
        added = f"ALTER TABLE {table} ADD CONSTRAINT {check}"
        yield SqlStep((laid_out(added, f"CHECK ({condition}) NOT VALID"),), (), column.table)
        yield SqlStep((f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}",), (), column.table)

    def _filled(self, column: Expanded) -> str:
        table = unquoted(without_schema(column.table))
        name = f"{table}_{unquoted(column.after.name)}"
        return shortened(name, "_filled", dependents.names_of(self.expected, self.found))

    # The swap

    def swap(self) -> list[str]:
        """Return the statements that put the new columns in the place of the old ones."""
        style = self.style
        gone = [pair for pair in self.old if not self.is_kept(pair)]
        done = [self._lock(), *dependents.dropped(gone, style)]
        done += [dependents.put_aside(pair, style) for pair in self.old if self._is_aside(pair)]
        for column in self.columns:
            done += self._swap_names(column, back=False)
            done += self._swap_attributes(column, back=False)
        done += [each for pair in self.new for each in dependents.renamed(pair, style)]
        for column in self.columns:
            done.append(trigger.function(column, self._last_body(column), style, replace=True))
            done.append(trigger.comment(column, column.after.name, column.old, style))
        return done

    def swap_back(self) -> list[str]:
        """Return the statements that put the old columns back."""
        style = self.style
        done = [self._lock(), *dependents.dropped(self.new, style)]
        for column in self.columns:
            done += self._swap_names(column, back=True)
            done += self._swap_attributes(column, back=True)
        for pair in self.old:
            if not self.is_kept(pair) or self._is_aside(pair):
                done += dependents.renamed(pair, style)
        for column in self.columns:
            done.append(trigger.function(column, self._first_body(column), style, replace=True))
            done.append(trigger.comment(column, column.before.name, column.new, style))
        return done

    def _last_body(self, column: Expanded) -> str:
        old, new = self._sides(column, column.old, column.after.name)
        if column.is_renamed:
            return trigger.both_ways(column, old, new)
        return trigger.mirrored(column, new, old)

    def _lock(self) -> str:
        tables = {column.table for column in self.columns}
        for pair in (*self.new, *self.old):
            tables |= pair.tables
        return f"LOCK TABLE {', '.join(map(self.style, sorted(tables)))} IN ACCESS EXCLUSIVE MODE"

    def _swap_names(self, column: Expanded, *, back: bool) -> list[str]:
        if column.is_renamed:
            return []
        alter, name = f"ALTER TABLE {self.style(column.table)}", column.after.name
        aside, other = (column.new, column.old) if back else (column.old, column.new)
        return [
            f"{alter} RENAME COLUMN {name} TO {aside}",
            f"{alter} RENAME COLUMN {other} TO {name}",
        ]

    def _swap_attributes(self, column: Expanded, *, back: bool) -> list[str]:
        """Return what moves default, NOT NULL and sequence from one column to the other."""
        leaves, comes = column.before, column.after
        left, name = column.old, column.after.name
        if back:
            leaves, comes, left, name = comes, leaves, column.new, column.before.name
        table = f"ALTER TABLE {self.style(column.table)}"
        done = self._default_of_left(column, leaves, left, back=back)
        if leaves.null == "NOT NULL":
            done.append(f"{table} ALTER COLUMN {left} DROP NOT NULL")
        done += self._default_of_new(column, leaves, comes, back=back)
        if comes.null == "NOT NULL":
            done.append(f"{table} ALTER COLUMN {name} SET NOT NULL")
        done.append(f"{table} DROP CONSTRAINT {self._filled(column)}")
        return done + ([] if column.is_renamed else self._sequences(column))

    def _default_of_left(
        self, column: Expanded, leaves: Column, left: str, *, back: bool
    ) -> list[str]:
        if column.is_renamed:
            return [] if back else self._default_of_old(column)
        if leaves.default is None:
            return []
        return [f"ALTER TABLE {self.style(column.table)} ALTER COLUMN {left} DROP DEFAULT"]

    def _default_of_new(
        self, column: Expanded, leaves: Column, comes: Column, *, back: bool
    ) -> list[str]:
        alter = f"ALTER TABLE {self.style(column.table)} ALTER COLUMN {comes.name}"
        if comes.default is not None:
            return [f"{alter} SET DEFAULT {self.style(comes.default)}"]
        has_other = back and column.is_renamed and leaves.default is not None
        return [f"{alter} DROP DEFAULT"] if has_other else []

    def _default_of_old(self, column: Expanded) -> list[str]:
        """Return what gives the old name of a renamed column the default of the new one."""
        alter = f"ALTER TABLE {self.style(column.table)} ALTER COLUMN {column.old}"
        before, after = column.before.default, column.after.default
        if after is None or column.has_volatile_default:
            return [f"{alter} DROP DEFAULT"] if before is not None else []
        if column.before.type == column.after.type:
            return [] if before == after else [f"{alter} SET DEFAULT {self.style(after)}"]
        return [f"{alter} SET DEFAULT ({self.style(after)})::{self.style(column.before.type)}"]

    def _sequences(self, column: Expanded) -> list[str]:
        name = f"{self.style(column.table)}.{column.after.name}"
        return [
            f"ALTER SEQUENCE {self.style(each.name)} OWNED BY {name}"
            for each in self.found.of(SequenceObject)
            if each.owned_by == column.before.reference.name and not each.identity
        ]

    def is_kept(self, pair: Pair) -> bool:
        """Whether old code needs it until the contract: what makes its queries fast or unique."""
        final = pair.final
        is_index = final.kind == "index" or getattr(final, "type", None) == "UNIQUE"
        its = [each for each in self.columns if self._has(pair, each)]
        return is_index and bool(its) and all(each.is_renamed for each in its)

    def _has(self, pair: Pair, column: Expanded) -> bool:
        reference = column.before.reference
        return any(need.on == reference for need in self.found.needs.get(pair.final.reference, ()))

    def _is_aside(self, pair: Pair) -> bool:
        """Whether a dependent that is kept has the name of a new one."""
        return self.is_kept(pair) and pair.final.reference in {
            each.final.reference for each in self.new
        }

    # The rows

    def requirements(self) -> list[RowRequirement]:
        """Return what the rows have to satisfy."""
        found = []
        for column in self.columns:
            table, name = self.style(column.table), column.before.name
            before, after = column.before, column.after
            if before.type != after.type:
                there, back = self.style(after.type), self.style(before.type)
                kept, value = f"{name}::{there}::{back}", name
                if before.type not in self.comparable:
                    kept, value = f"{kept}::text", f"{value}::text"
                found.append(
                    RowRequirement(
                        f"{table}: {name} keeps its value as {there}",
                        laid_out(
                            f"SELECT {name} FROM {table}",
                            f"WHERE {kept} IS DISTINCT FROM {value}",
                        ),
                    )
                )
            if after.null == "NOT NULL" and before.null != "NOT NULL":
                found.append(
                    RowRequirement(
                        f"{table}: {name} IS NOT NULL",
                        f"SELECT * FROM {table} WHERE {name} IS NULL",
                    )
                )
        return found


def in_one(expansion: Expansion, changes: Sequence[Change]) -> Iterator[Step]:
    """Yield all steps; ``changes`` are made in the swap, after everything else."""
    yield from expansion.build()
    swap, back = expansion.swap(), expansion.swap_back()
    forwards = (*swap, *(each for change in changes for each in change.forwards))
    backwards = (
        back[0],
        *(each for change in reversed(changes) for each in change.backwards),
        *back[1:],
    )
    yield SqlStep(forwards, backwards, None)
    for step in reversed(expansion.build_old()):
        assert isinstance(step, SqlStep)
        yield SqlStep((), step.forwards, step.table)


def sql_of(steps: Iterable[Step]) -> Iterator[str]:
    """Yield the statements forwards, without backfills, for a database without rows."""
    for step in steps:
        if isinstance(step, SqlStep):
            yield from step.forwards


def _named(column: Column, name: str) -> Column:
    return replace(column, name=name)
