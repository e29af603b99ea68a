"""What declares a tenant table, and what is refused before a database is asked."""

from typing import Any

import pytest
from piccolo.columns import (
    UUID,
    BigInt,
    BigSerial,
    ForeignKey,
    Integer,
    OnDelete,
    Serial,
    SmallInt,
    Text,
)  # fmt: skip
from piccolo.columns.reference import LazyTableReference
from piccolo.table import Table

from partman import isolation, tables
from partman.errors import TableDeclarationError
from partman.isolation import Key, Roles, Tenancy, TenantForeignKey, TenantReference
from partman.isolation.tenant_table import check_registered

TENANCY = Tenancy("workspaces", "account_id", Key.INTEGER, Roles.named("shop"), "shop.account_id")


class Workspace(Table, tablename="workspaces"):
    """The tenants."""


class TenantTable(isolation.TenantTable, tenancy=TENANCY, tenants=Workspace):
    """The base class of a project."""

    account: ForeignKey[Workspace]


_IN_A_PACKAGE = {"__module__": "lonely.tables", "__qualname__": "Task"}
"""Of a class that is not inside of a function."""


def _keys(table: type[Table]) -> dict[str, str]:
    constraints = table._meta.constraints
    return {one._meta.name: one.ddl for one in constraints if isinstance(one, TenantForeignKey)}


def test_the_reference_is_called_as_the_tenancy_says() -> None:
    class Task(TenantTable, Table, tablename="tasks"):
        pass

    assert [column._meta.name for column in Task._meta.columns] == ["id", "account"]
    assert Task.account._meta.db_column_name == "account_id"
    assert Task.account._foreign_key_meta.references is Workspace
    assert "GRANT USAGE ON SEQUENCE %s TO shop_app, shop_seed" in "\n".join(Task.extras)


def test_a_name_is_piccolos_where_none_is_given() -> None:
    class OpenTask(TenantTable, Table):
        parent = TenantReference("self", db_column_name="parent_id")

    assert OpenTask._meta.tablename == "open_task"
    assert list(_keys(OpenTask)) == ["open_task_account_id_parent_id_fkey"]


def test_names_that_need_quotes_get_them() -> None:
    class Order(TenantTable, Table, tablename="order"):
        key = UUID(primary_key=True, db_column_name="Key")
        user = TenantReference("self", on_delete=OnDelete.set_null)

    [key] = _keys(Order).values()
    assert key == (
        'FOREIGN KEY (account_id, "user") REFERENCES "order" (account_id, "Key")'
        ' ON DELETE SET NULL ("user")'
    )
    text = "\n".join(Order.extras)
    assert 'CREATE POLICY tenant_only ON "order" AS RESTRICTIVE TO shop_app' in text
    assert 'GRANT UPDATE ("user") ON "order" TO shop_app' in text


def test_a_table_of_another_schema_says_so() -> None:
    class Invoice(TenantTable, Table, tablename="invoices", schema="billing"):
        parent = TenantReference("self")

    assert (
        "REFERENCES billing.invoices (account_id, id)"
        in _keys(Invoice)["invoices_account_id_parent_fkey"]
    )
    assert Invoice.extras[0].startswith("GRANT USAGE ON SCHEMA billing TO shop_app, shop_api")
    assert all("billing.invoices" in statement for statement in Invoice.extras[1:])


def test_references_of_a_mixin_are_keys_of_each_table() -> None:
    class Person(TenantTable, Table, tablename="people"):
        pass

    class Owned(TenantTable):
        owner = TenantReference(Person, db_column_name="owner_id")

    class Task(Owned, Table, tablename="tasks"):
        pass

    class Note(Task, tablename="notes"):
        pass

    assert list(_keys(Task)) == ["tasks_account_id_owner_id_fkey"]
    assert list(_keys(Note)) == ["notes_account_id_owner_id_fkey"]


def test_long_names_stay_apart() -> None:
    long = "a" * 50

    class Task(TenantTable, Table, tablename=long):
        one = TenantReference("self", db_column_name=f"{long}_one")
        two = TenantReference("self", db_column_name=f"{long}_two")

    assert len(_keys(Task)) == 2
    assert all(len(name) == 63 for name in _keys(Task))


@pytest.mark.parametrize("action", [OnDelete.set_null, OnDelete.set_default])
def test_clearing_a_reference_keeps_the_tenant(action: OnDelete) -> None:
    class Task(TenantTable, Table, tablename="tasks"):
        parent = TenantReference("self", on_delete=action)

    assert _keys(Task)["tasks_account_id_parent_fkey"].endswith(
        f"ON DELETE {action.value} (parent)"
    )


@pytest.mark.parametrize(
    "target", [Workspace, "Elsewhere", LazyTableReference("Task", app_name="shop")], ids=str
)
def test_a_reference_to_a_table_without_tenants_is_refused(target: Any) -> None:
    with pytest.raises(TableDeclarationError, match=r"Task\.other is a TenantReference to"):

        class Task(TenantTable, Table, tablename="tasks"):
            other = TenantReference(target)


@pytest.mark.parametrize(
    ("key", "column", "fits"),
    [
        (Key.UUID, UUID, True), (Key.UUID, Text, False), (Key.INTEGER, Serial, True),
        (Key.INTEGER, Integer, True), (Key.INTEGER, BigInt, False), (Key.INTEGER, BigSerial, False),
        (Key.INTEGER, SmallInt, False), (Key.BIGINT, BigSerial, True), (Key.BIGINT, BigInt, True),
        (Key.BIGINT, Serial, False), (Key.TEXT, Text, True), (Key.TEXT, Integer, False),
    ],
)  # fmt: skip
def test_the_tenants_key_is_of_the_tenancys_type(key: Key, column: Any, fits: bool) -> None:
    class Team(Table, tablename="teams"):
        id = column(primary_key=True)

    def declare() -> None:
        class Base(isolation.TenantTable, tenancy=Tenancy("teams", key=key), tenants=Team):
            pass

    if fits:
        declare()
    else:
        with pytest.raises(TableDeclarationError, match=f"a primary key id of type {key.value}"):
            declare()


def test_a_base_class_that_does_not_fit_the_tenancy_is_refused() -> None:
    def declare(**options: Any) -> None:
        type("Base", (isolation.TenantTable,), {}, **options)

    for options, problem in (
        ({"tenancy": TENANCY}, "declares half a tenancy"),
        ({"tenants": Workspace}, "declares half a tenancy"),
        ({"tenancy": Tenancy(key=Key.INTEGER), "tenants": Workspace}, "rows of organizations"),
        (
            {
                "tenancy": Tenancy("workspaces", "select_id", Key.INTEGER),
                "tenants": Workspace,
            },
            "a method of Piccolo's Table",
        ),
    ):
        with pytest.raises(TableDeclarationError, match=problem):
            declare(**options)
    with pytest.raises(TableDeclarationError, match="without a tenancy"):
        type("Task", (isolation.TenantTable, Table), {}, tablename="tasks")


def test_a_table_that_no_app_has_is_an_error_that_names_it() -> None:
    task: Any = type("Task", (TenantTable, Table), _IN_A_PACKAGE, tablename="tasks")
    for registered, tenancy, problem in (
        (
            [Workspace],
            TENANCY,
            r"The TenantTable lonely\.tables\.Task is in no app's table_classes",
        ),
        ([task], tables.TENANCY, "another tenancy than the engine"),
        ([task], None, "the engine has no tenancy"),
    ):
        with pytest.raises(TableDeclarationError, match=problem):
            check_registered(registered, tenancy, {"lonely"})
        check_registered(registered, tenancy, {"other"})
    check_registered([task], TENANCY, {"lonely"})


def test_a_refused_declaration_is_not_counted_as_unregistered() -> None:
    namespace = {
        **_IN_A_PACKAGE,
        "__module__": "refused.tables",
        "other": TenantReference("Nothing"),
    }
    with pytest.raises(TableDeclarationError) as refused:
        type("Task", (TenantTable, Table), namespace, tablename="tasks")
    # The traceback keeps the class.
    assert any(cls.__module__ == "refused.tables" for cls in TenantTable.__subclasses__())
    check_registered([], TENANCY, {"refused"})
    assert refused.value
