"""The console takes tables of every shape, and knows of none by name."""

from typing import Any

import pytest
from piccolo.columns import (
    UUID,
    BigInt,
    BigSerial,
    Boolean,
    Column,
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
from partman.serve.console.piccolo_admin import create_console
from partman.serve.console.project_console import ProjectConsole
from partman.serve.console.tables import ConsoleTable, console_tables
from partman.serve.people.account_base import AccountBase
from partman.serve.people.accounts import limit
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


def shown() -> dict[str, type[ConsoleTable]]:
    return {table._meta.tablename: table for table in console_tables(CONSOLE)}


def column(table: str, name: str) -> Column:
    return shown()[table]._meta.get_column_by_name(name)


def references(found: Column) -> Any:
    assert isinstance(found, ForeignKey)
    return found._foreign_key_meta.resolved_references.__name__


def test_a_reference_leads_to_what_the_console_shows_or_is_a_plain_value() -> None:
    assert references(column("tasks", "parent_id")) == "Task"
    assert references(column("notes", "task")) == "Task"
    assert type(column("tasks", "country")) is BigInt
    code = column("tasks", "code")
    assert isinstance(code, Varchar)
    assert (code.length, code._meta.required, code._meta.null) == (2, True, False)


def test_the_tenants_column_and_secrets_are_in_no_table() -> None:
    columns = {
        name: [each._meta.name for each in table._meta.columns] for name, table in shown().items()
    }
    assert columns == {
        "workspaces": ["id", "open", "title"],
        "tasks": ["id", "kind", "parent_id", "country", "code"],
        "notes": ["id", "number", "task"],
    }
    assert {name: table.tenant_column for name, table in shown().items()} == {
        "workspaces": None,
        "tasks": "account_id",
        "notes": "account_id",
    }
    assert shown()["tasks"].filled_in == {"token": "none"}
    assert shown()["notes"]._meta.schema == "shop"


def test_a_row_is_named_by_its_first_text_or_else_by_its_key() -> None:
    assert {name: table.named_by for name, table in shown().items()} == {
        "workspaces": ("title",),
        "tasks": ("kind",),
        "notes": ("id",),
    }


def test_piccolo_admin_takes_them_and_pages_name_the_tenants_by_their_class() -> None:
    authentication = authentication_of(Person, Visit, TENANTS, b"")
    tables = console_tables(CONSOLE)
    admin = create_console(tables, authentication, limit(1), ["localhost"], secure=True)
    assert {each.table_class for each in admin.table_configs} == set(tables)
    assert admin.sidebar_links == {"Customer workspace": "/customer-workspace"}
    assert authentication.own is Person.workspace
    assert authentication.chosen is Visit.workspace


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
