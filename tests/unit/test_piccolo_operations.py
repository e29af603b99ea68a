"""What Piccolo's auto migration is asked, it answers as without partman, and sooner."""

import asyncio
from collections import Counter

import pytest
from piccolo.apps.migrations.auto.diffable_table import DiffableTable, TableDelta
from piccolo.apps.migrations.commands.new import AutoMigrationManager
from piccolo.columns import Integer, Varchar
from piccolo.table import Table

from partman.migration.autogenerate.piccolo_operations import ask_piccolo
from partman.piccolo_app import APP_CONFIG


class Alert(Table, tablename="alerts"):
    title = Varchar(length=7)
    added = Integer()


class Renamed(Table, tablename="quarterly_goals"):
    quarter = Integer(null=True)


def test_each_table_is_compared_once_and_nothing_else_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Columns added, dropped and changed, a class with another name, and tables as they were."""
    changed = {"Alert": Alert, "QuarterlyGoal": Renamed}
    classes = [changed.get(each.__name__, each) for each in APP_CONFIG.table_classes]
    assert {*changed.values()} <= {*classes}
    monkeypatch.setattr(APP_CONFIG, "table_classes", classes)
    compare, compared = DiffableTable.__sub__, Counter[str]()

    def counted(self: DiffableTable, value: DiffableTable) -> TableDelta:
        compared[self.class_name] += 1
        return compare(self, value)

    monkeypatch.setattr(DiffableTable, "__sub__", counted)
    stock = asyncio.run(AutoMigrationManager(auto_input="y").get_alter_statements(APP_CONFIG))
    assert set(compared.values()) != {1}, "Piccolo compares each once by itself"
    compared.clear()
    asked = asyncio.run(ask_piccolo(APP_CONFIG, "y"))
    assert set(compared.values()) == {1}
    assert len(compared) == len(classes)
    assert [each.text for each in asked.operations] == [
        text for statements in stock for text in statements.statements
    ]
    kinds = {each.name for each in asked.operations}
    assert {"alter_column", "drop_column", "rename_column", "rename_table"} <= kinds
