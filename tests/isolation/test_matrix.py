"""Every statement, by every role, with every tenant set, on every table that the catalog has."""

from piccolo.columns import Boolean, Integer, OnDelete, OnUpdate
from piccolo.constraints import Check
from piccolo.table import Table as PiccoloTable

from partman.tables import Partner
from partman.tables.columns import TenantReference, Varchar
from partman.tables.tenant import TenantTable
from tests.isolation.conftest import Populated
from tests.isolation.matrix import Failure, Matrix
from tests.isolation.rows import World
from tests.isolation.tables import Connection
from tests.summary import Record, count
from tests.support import CONSOLE_TABLES, SIX_TABLES


async def test_every_cell_of_the_matrix_is_as_the_rule_says(
    populated: Populated, record_property: Record
) -> None:
    async with populated.undone() as connection:
        matrix = await Matrix.create(connection, populated.world)
        failures = await matrix.failures(connection)
        assert not failures, _text(failures)

    tables = {table.name for table in matrix.world.tables}
    assert tables == {f"public.{name}" for name in SIX_TABLES}
    assert set(matrix.world.console) == {f"public.{name}" for name in CONSOLE_TABLES}
    count(record_property, cells=len(matrix.cells))


async def test_a_table_added_tomorrow_is_in_the_matrix(
    populated: Populated, record_property: Record
) -> None:
    class Task(TenantTable, PiccoloTable, tablename="tasks"):
        partner = TenantReference(
            Partner, on_delete=OnDelete.cascade, on_update=OnUpdate.no_action, null=False,
            db_column_name="partner_id",
        )  # fmt: skip
        state = Varchar(length=10, default=None, null=False)
        priority = Integer(default=None, null=False)
        done = Boolean(default=False, null=False)

        tasks_state_is_known = Check("state IN ('open', 'closed')")
        tasks_priority_range = Check("priority BETWEEN 1 AND 5")

        extras = ("CREATE INDEX idx_tasks_partner ON tasks (organization_id, partner_id)",)

    async with populated.undone() as connection:
        await _create(connection, populated.owner, *Task.create_table().ddl, *Task.extras)
        matrix = await _matrix(connection)
        failures = await matrix.failures(connection, {"public.tasks"})
        assert not failures, _text(failures)

    tasks = [cell for cell in matrix.cells if cell.table == "public.tasks"]
    assert any("insert with another's row" in cell.operation for cell in tasks)
    count(record_property, cells=len(tasks))


async def test_a_table_added_without_protection_fails_the_matrix(populated: Populated) -> None:
    async with populated.undone() as connection:
        await _create(
            connection, populated.owner,
            """CREATE TABLE notes (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
                partner_id uuid NOT NULL REFERENCES partners ON DELETE CASCADE,
                text text NOT NULL
            )""",
            "GRANT ALL ON notes TO partman_app",
        )  # fmt: skip
        matrix = await _matrix(connection)
        failures = await matrix.failures(connection, {"public.notes", "public.users"})

    assert {failure.cell.table for failure in failures} == {"public.notes"}
    failed = {failure.cell.operation for failure in failures}
    assert {
        "select", "insert", "update", "delete", "truncate", "copy to", "copy from", "merge update",
        "move to another tenant", "insert with another's row in (partner_id)",
    } <= failed  # fmt: skip


async def _create(connection: Connection, owner: str, *statements: str) -> None:
    await connection.execute(f"SET LOCAL ROLE {owner}")
    for statement in statements:
        await connection.execute(statement)
    await connection.execute("RESET ROLE")


async def _matrix(connection: Connection) -> Matrix:
    """Of a database that has the populated one's tenants already: their rows go first."""
    await connection.execute("DELETE FROM organizations WHERE subdomain <> 'default'")
    return await Matrix.create(connection, await World.create(connection))


def _text(failures: list[Failure]) -> str:
    return "\n".join(["", *map(str, failures)])
