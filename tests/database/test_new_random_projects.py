"""Projects of three apps drawn at random: what ``partman new`` writes for them is complete."""

import random
from dataclasses import dataclass, field

import pytest

from tests.catalog import catalog
from tests.several_apps import SeveralApps
from tests.summary import stride
from tests.support import Completed

pytestmark = pytest.mark.same_on_every_version

APPS = ("alpha", "beta", "gamma")
_COLUMNS = (
    "Varchar(default=word)", "Varchar(unique=True)", "Text(index=True)", "Integer(default=3)",
    "Numeric(digits=(8, 2))", "Timestamptz()", "UUID()", "JSONB()", "Boolean(null=True)",
)  # fmt: skip
_OF_THE_DATABASE = (
    "CREATE SCHEMA {0}_more",
    "CREATE TYPE {0}_mood AS ENUM ('good', 'bad')",
    "CREATE FUNCTION {0}_one() RETURNS int RETURN 1",
    "CREATE SEQUENCE {0}_numbers",
    "CREATE VIEW {0}_count AS SELECT count(*) FROM {1}",
)
_OF_A_TABLE = (
    "CREATE INDEX {0}_index ON {0} (id, {1})",
    "CREATE POLICY {0}_some ON {0} USING ({1} IS NOT NULL)",
    "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY",
    "GRANT SELECT, UPDATE ({1}) ON {0} TO PUBLIC",
    "CREATE VIEW {0}_view AS SELECT {1} FROM {0}",
    "COMMENT ON COLUMN {0}.{1} IS 'a column'",
    # Of another table, whichever app that belongs to: then it comes with the later app.
    "CREATE POLICY {0}_other ON {0} USING (EXISTS (SELECT FROM {2}))",
    "CREATE VIEW {0}_both AS SELECT {0}.id, {2}.id AS other FROM {0} JOIN {2} USING (id)",
)


@dataclass
class _Table:
    app: str
    name: str
    columns: dict[str, str]
    extras: list[str]

    @property
    def source(self) -> str:
        columns = [f"    {name} = {column}" for name, column in self.columns.items()]
        extras = f"    extras = {tuple(self.extras)!r}"
        return "\n".join([f"class {self.name.title()}(Table):", *columns, extras, "", ""])


@dataclass
class _Drawn:
    """A project; the later apps refer to the earlier ones."""

    seed: random.Random
    tables: list[_Table] = field(default_factory=list)
    extras: dict[str, list[str]] = field(default_factory=lambda: {app: [] for app in APPS})

    def grow(self) -> None:
        """Add tables, columns and extras."""
        for app in APPS:
            for _ in range(self.seed.randrange(1, 3)):
                self.tables.append(_Table(app, f"t{len(self.tables)}", {"first": "Varchar()"}, []))
            of_app = [table.name for table in self.tables if table.app == app]
            drawn = self.seed.choice(_OF_THE_DATABASE).format(app, self.seed.choice(of_app))
            _add(self.extras[app], drawn)
        for table in self.tables:
            before = [other for other in self.tables if self.place(other) < self.place(table)]
            for _ in range(self.seed.randrange(3)):
                table.columns[f"c{len(table.columns)}"] = self.column(before)
            others = [other.name for other in self.tables if other is not table]
            for template in self.seed.sample(_OF_A_TABLE, 2):
                column = self.seed.choice(list(table.columns))
                _add(table.extras, template.format(table.name, column, self.seed.choice(others)))

    def shrink(self) -> None:
        """Take some extras away."""
        for extras in (*self.extras.values(), *(table.extras for table in self.tables)):
            if extras and self.seed.random() < 0.5:
                extras.pop(self.seed.randrange(len(extras)))

    def place(self, table: _Table) -> int:
        return APPS.index(table.app)

    def column(self, before: list[_Table]) -> str:
        if before and self.seed.random() < 0.5:
            other = self.seed.choice(before)
            lazy = f"LazyTableReference({other.name.title()!r}, app_name={other.app!r})"
            return f"ForeignKey({lazy})"
        return self.seed.choice(_COLUMNS)

    def write(self, several: SeveralApps) -> None:
        for number, app in enumerate(APPS):
            tables = [table.source for table in self.tables if table.app == app]
            several.app(
                app,
                "import secrets\n\ndef word(): return secrets.token_hex(4)\n\n" + "\n".join(tables),
                needs=APPS[:number],
                database_extras=self.extras[app],
            )


@pytest.mark.parametrize("seed", range(12 // stride(6)))
def test_is_complete_and_can_be_undone(several: SeveralApps, seed: int) -> None:
    drawn = _Drawn(random.Random(seed))  # noqa: S311 -- so that a failure can be repeated
    empty = catalog(several.database.url)
    several.register(*drawn.seed.sample(APPS, len(APPS)))
    for step in ("first", "second"):
        drawn.grow()
        if step == "second":
            drawn.shrink()
        drawn.write(several)
        _succeeds(several.partman("new", step, "--auto_input", "n"))
        _succeeds(several.piccolo("forwards", "all"))
        again = several.partman("new", "again")
        assert again.stdout.startswith("Nothing to do"), again.output
    _succeeds(several.partman("verify"))
    there = catalog(several.database.url)
    assert len(there) > len(empty)
    _succeeds(several.piccolo("backwards", "all", "--auto_agree"))
    assert catalog(several.database.url) == empty
    _succeeds(several.piccolo("forwards", "all"))
    drift = several.partman("drift")
    assert "no difference" in drift.stdout, drift.output


def _add(extras: list[str], extra: str) -> None:
    """Add an extra, unless there is one that makes the same."""
    if _made(extra) not in map(_made, extras):
        extras.append(extra)


def _made(extra: str) -> str:
    return extra.partition(" ON ")[0].partition(" AS ")[0]


def _succeeds(completed: Completed) -> None:
    assert completed.code == 0, completed.output
