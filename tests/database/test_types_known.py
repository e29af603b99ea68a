"""No command makes the driver look up a type, which costs the server more than to connect.

The driver then calls ``set_config``, which on the embedded server only some roles may do.
"""

from collections.abc import Iterator

import pytest

from tests.project import Project
from tests.support import as_role, execute
from tests.tenants import login_role

pytestmark = pytest.mark.same_on_every_version

TABLE = "CREATE TABLE things (id bigint PRIMARY KEY, kinds text[], days date[], state char)"


@pytest.fixture
def owner(project: Project) -> Iterator[str]:
    """The URL of a role that owns the database, and may not call set_config."""
    database = project.database
    with login_role() as name:
        execute(
            database.url,
            f"ALTER ROLE {name} CREATEDB",
            f"ALTER DATABASE {database.name} OWNER TO {name}",
        )
        yield as_role(database.url, name)
        execute(database.url, f"REASSIGN OWNED BY {name} TO CURRENT_USER")


def test_no_command_makes_the_driver_look_up_a_type(project: Project, owner: str) -> None:
    project.write("1", [TABLE, "INSERT INTO things VALUES (1)"], ["DROP TABLE things"])
    for command in ("migrate", "verify", "drift", "plan"):
        ended = project.partman(command, DATABASE_URL=owner)
        assert ended.code == 0, ended.output
        # pg_dump calls it, too: drift says so, and goes on.
        assert ("function set_config" in ended.output) is (command == "drift"), ended.output
        if command == "drift":
            project.write("2", ["ALTER TABLE things ADD more uuid[]"], [])
