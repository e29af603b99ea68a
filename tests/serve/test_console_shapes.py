"""The console takes tables of every shape, and knows of none by name."""

from typing import Any

import pytest
from piccolo.columns import (
    UUID,
    BigSerial,
    Boolean,
    ForeignKey,
    Integer,
    Serial,
    Text,
    Varchar,
)
from piccolo.table import Table

from partman.errors import SettingsError
from partman.isolation import Key, Tenancy
from partman.serve.console import project_console
from partman.serve.console.config import ConsoleConfig
from partman.serve.console.project_console import ProjectConsole
from partman.serve.console.tables import Field, ShownTable, shown_tables
from partman.serve.console.values import Kind
from partman.serve.people.account_base import AccountBase
from partman.serve.people.authentication import authentication_of
from partman.serve.people.tenants import Tenants


class CustomerWorkspace(Table, tablename="workspaces"):
    id = Serial(primary_key=True)
    open = Boolean(default=True)
    title = Text()


class Country(Table, tablename="countries"):
    """Nobody's rows: not shown."""

    id = BigSerial(primary_key=True)
    code = Varchar(length=2, unique=True)


class Task(Table, tablename="tasks"):
    id = BigSerial(primary_key=True)
    account = ForeignKey(CustomerWorkspace, db_column_name="account_id", null=False)
    token = Varchar(secret=True)
    kind = Varchar(choices=None)
    parent: ForeignKey[Any] = ForeignKey("self", db_column_name="parent_id")
    country = ForeignKey(Country)
    code = ForeignKey(Country, target_column=Country.code, null=False)


class Note(Table, tablename="notes", schema="shop"):
    id = UUID(primary_key=True)
    account = ForeignKey(CustomerWorkspace, db_column_name="account_id", null=False)
    number = Integer()
    task = ForeignKey(Task)


class Person(AccountBase, tablename="people"):
    workspace = ForeignKey(CustomerWorkspace)


class Visit(Table, tablename="visits"):
    token = Varchar(secret=True)
    workspace = ForeignKey(CustomerWorkspace)


CONFIG = ConsoleConfig(accounts=Person, sessions=Visit, filled_in={Task: {Task.token: "none"}})
TENANTS = Tenants(CustomerWorkspace, CONFIG.name_columns(CustomerWorkspace), CustomerWorkspace.open)
CONSOLE = ProjectConsole(
    config=CONFIG,
    tenancy=Tenancy(table="workspaces", column="account_id", key=Key.INTEGER),
    role="shop_console",
    tables=(CustomerWorkspace, Task, Note),
    tenants=TENANTS,
)


def shown() -> dict[str, ShownTable]:
    return {each.slug: each for each in shown_tables(CONSOLE)}


def field(table: str, name: str) -> Field:
    return next(each for each in shown()[table].fields if each.name == name)


def test_a_reference_leads_to_what_the_console_shows_or_is_a_plain_value() -> None:
    assert field("tasks", "parent_id").refers_to is Task
    assert field("shop.notes", "task").refers_to is Task
    country, code = field("tasks", "country"), field("tasks", "code")
    assert (country.refers_to, country.kind, country.required) == (None, Kind.INTEGER, False)
    assert (code.refers_to, code.kind, code.required) == (None, Kind.TEXT, True)
    assert code.values_of is Country.code
    tables = shown_tables(CONSOLE)
    tasks = tables.of(Task)
    assert [(each.slug, by.name) for each, by in tables.references_to(tasks)] == [
        ("tasks", "parent_id"),
        ("shop.notes", "task"),
    ]


def test_the_tenants_column_and_secrets_are_in_no_table() -> None:
    columns = {name: [each.name for each in table.fields] for name, table in shown().items()}
    assert columns == {
        "workspaces": ["id", "open", "title"],
        "tasks": ["id", "kind", "parent_id", "country", "code"],
        "shop.notes": ["id", "number", "task"],
    }
    assert {name: table.tenant for name, table in shown().items()} == {
        "workspaces": None,
        "tasks": "account",
        "shop.notes": "account",
    }
    assert shown()["tasks"].filled_in == {Task.token: "none"}


def test_a_row_is_named_by_its_first_text_or_else_by_its_key() -> None:
    names = {name: tuple(each.name for each in table.names) for name, table in shown().items()}
    assert names == {"workspaces": ("title",), "tasks": ("kind",), "shop.notes": ("id",)}


def test_words_are_those_of_people() -> None:
    assert [(each.noun, each.plural, each.path) for each in shown().values()] == [
        ("customer workspace", "Workspaces", "/console/workspaces/"),
        ("task", "Tasks", "/console/tasks/"),
        ("note", "Notes", "/console/shop.notes/"),
    ]
    assert [each.label for each in shown()["tasks"].fields] == [
        "ID",
        "Kind",
        "Parent",
        "Country",
        "Code",
    ]


def test_the_table_of_the_tenants_has_to_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ConsoleConfig(accounts=Person, sessions=Visit)
    monkeypatch.setattr(project_console, "offered", lambda _: {"shop": config})
    monkeypatch.setattr(project_console, "table_classes", lambda: [Task, Note])
    with pytest.raises(SettingsError, match="registered a table class for organizations"):
        project_console.project_console()


def test_an_account_has_to_say_whose_rows_it_may_see() -> None:
    for accounts, sessions, says in (
        (AccountBase, Visit, "AccountBase has 0 foreign keys to CustomerWorkspace"),
        (Person, Country, "Country has 0 foreign keys to CustomerWorkspace"),
    ):
        with pytest.raises(SettingsError, match=says):
            authentication_of(accounts, sessions, TENANTS, b"")
