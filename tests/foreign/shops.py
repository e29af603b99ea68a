"""Projects with a tenancy of their own: other names, other keys, other roles than this one's."""

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from piccolo.columns import UUID, BigSerial, Column, Integer, OnDelete, Text, Varchar
from piccolo.constraints import Unique
from piccolo.table import Table

from partman import isolation
from partman.audit import Audit, global_keys, rules_for
from partman.isolation import Key, Roles, Tenancy, TenantReference, tenants_table_extras
from tests import shared


@functools.cache
def roles() -> Roles:
    """The roles of all shops, which stay until the run of the tests ends: workers share them."""
    return Roles.named(f"{shared.prefix()}shop")


def few_roles() -> Roles:
    return Roles(roles().app, roles().api, auth=None, seed=None, console=None)


@dataclass(frozen=True)
class Shop:
    """The tables of a project: a task refers to a project and, perhaps, to another task."""

    tenancy: Tenancy
    workspace: Any
    project: Any
    task: Any
    ids: tuple[Any, Any]
    """Of its two tenants."""

    @property
    def tables(self) -> tuple[type[Table], ...]:
        return self.workspace, self.project, self.task

    @property
    def audit(self) -> Audit:
        keys = global_keys(self.tables)
        return Audit(self.tenancy, rules_for(self.tenancy), global_keys=keys)


def _shop(
    tenancy: Tenancy, tenant_key: Column | None, row_key: Column | None, ids: tuple[Any, Any]
) -> Shop:
    """Declare the tables; where no key is given, it is Piccolo's own."""

    class Workspace(Table, tablename=tenancy.table):
        if tenant_key is not None:
            id = tenant_key
        name = Varchar(length=50, unique=True)
        note = Varchar(length=50, null=True)

        extras = tenants_table_extras(tenancy, may_change=["note"])

    class TenantTable(isolation.TenantTable, tenancy=tenancy, tenants=Workspace):
        if row_key is not None:
            id = row_key

    class Project(TenantTable, Table, tablename="projects"):
        name = Text()
        projects_key = Unique([tenancy.column, "id"])
        global_keys: ClassVar = {"projects_pkey": "The IDs are random texts."}

    class Task(TenantTable, Table, tablename="tasks"):
        title = Text()
        project = TenantReference(
            Project, on_delete=OnDelete.set_null, null=True, db_column_name="project_id"
        )
        parent = TenantReference("self", null=True, db_column_name="parent_id")
        tasks_key = Unique([tenancy.column, "id"])
        global_keys: ClassVar = {"tasks_pkey": "The IDs are random texts."}

        extras = (
            f"CREATE INDEX tasks_project ON tasks ({tenancy.column}, project_id)",
            f"CREATE INDEX tasks_parent ON tasks ({tenancy.column}, parent_id)",
        )

    return Shop(tenancy, Workspace, Project, Task, ids)


def _tenancy(key: Key) -> Tenancy:
    return Tenancy("workspaces", "account_id", key, roles(), "shop.account_id")


def _key(kind: type[Column], **options: Any) -> Column:
    return kind(primary_key=True, **options)


SHOPS: dict[str, Callable[[], Shop]] = {
    "integer": lambda: _shop(_tenancy(Key.INTEGER), None, None, (1, 2)),
    "bigint": lambda: _shop(_tenancy(Key.BIGINT), _key(BigSerial), _key(BigSerial), (1, 2**40)),
    "text": lambda: _shop(
        _tenancy(Key.TEXT),
        _key(Text, default=None),
        _key(Text, default=None),
        ('it\'s \\ "A"\n$$', "b'; RESET ROLE; --"),
    ),
    "varchar": lambda: _shop(
        _tenancy(Key.TEXT), _key(Varchar, length=40, default=None), None, ("a", "A")
    ),
    "uuid": lambda: _shop(
        _tenancy(Key.UUID),
        _key(UUID),
        _key(UUID),
        (uuid.uuid5(uuid.NAMESPACE_DNS, "a"), uuid.uuid5(uuid.NAMESPACE_DNS, "b")),
    ),
    "few roles": lambda: _shop(
        Tenancy("teams", "tenant", Key.INTEGER, few_roles(), "a.b"),
        _key(Integer, default=None),
        None,
        (-5, 0),
    ),
}
"""Each is declared anew for a test."""
