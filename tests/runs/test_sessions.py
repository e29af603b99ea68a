"""A migration does the same alone and after another: the session is its own."""

from collections.abc import Iterable

import pytest

from tests.faults.boundaries import state
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import Database, execute, query, temporary_database
from tests.tenants import login_role

pytestmark = pytest.mark.same_on_every_version

LEFT_BEHIND = {
    "a search_path": ["CREATE SCHEMA billing", "SET search_path = billing, public"],
    "an empty search_path, as in a file of pg_dump": [
        "SELECT pg_catalog.set_config('search_path', '', false)"
    ],
    "a temporary table in the way": ["CREATE TEMP TABLE receipts (other int)"],
    "temporary bookkeeping": [
        "CREATE TEMP TABLE migration (id int)",
        "CREATE TEMP TABLE migration_history (id int)",
    ],
    "a role": ["SET ROLE {role}"],
    "settings": ["SET check_function_bodies = off", "SET row_security = on"],
    "timeouts": ["SET lock_timeout = 0", "SET statement_timeout = 0"],
    "read-only transactions": ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
    "serializable transactions": [
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    ],
    "a prepared statement": ["PREPARE receipts AS SELECT 1"],
    "a cursor": ["DECLARE receipts CURSOR WITH HOLD FOR SELECT 1"],
}
SECOND = [
    "CREATE TABLE receipts (id int)",
    "CREATE TABLE settings AS SELECT name, setting FROM pg_settings"
    " WHERE source = 'session' AND setting IS DISTINCT FROM reset_val"
    " UNION ALL SELECT 'role', current_user::text UNION ALL SELECT 'session', session_user::text",
    "PREPARE receipts AS SELECT 1",
    "DECLARE receipts CURSOR FOR SELECT 1",
    "ALTER TABLE receipts RENAME TO receipts_{number}",
    "ALTER TABLE settings RENAME TO settings_{number}",
]
"""What runs after each, and then makes room for the next one's tables."""
MODES = {"in a transaction": "", "online": "manager.online()"}


Result = tuple[list[tuple[object, ...]], list[tuple[object, ...]]]


def _second(number: int) -> list[str]:
    return [each.format(number=number) for each in SECOND]


def _results(database: Database, numbers: Iterable[int]) -> dict[str, Result]:
    """Return the tables that the second migrations have made, by the number in their names."""
    tables = query(
        database.url,
        "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relname ~ '^(receipts|settings)' AND nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2",
    )
    each = (f"SELECT '{n}' AS number, name, setting FROM settings_{n}" for n in numbers)
    settings = query(database.url, f"{' UNION ALL '.join(each)} ORDER BY 1, 2, 3")
    found: dict[str, Result] = {}
    for schema, table in tables:
        name, _, number = table.partition("_")
        found.setdefault(number, ([], []))[0].append((schema, name))
    for number, *setting in settings:
        found[number][1].append(tuple(setting))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Result:
    """What the second migration makes in a run of its own."""
    with temporary_database() as database:
        project = Project.create(tmp_path_factory.mktemp("alone"), database, zygote)
        project.write("2", _second(0))
        ended = project.forwards()
        assert ended.code == 0, ended.output
        return _results(database, [0])["0"]


@pytest.mark.parametrize("mode", MODES)
def test_what_a_migration_sets_ends_with_it(project: Project, alone: Result, mode: str) -> None:
    """Each of these is looked at by the migration that comes next, in the same run."""
    ids: list[str] = []
    with login_role() as role:
        for number, left in enumerate(LEFT_BEHIND.values()):
            ids += [f"{number:02}-1", f"{number:02}-2"]
            first = [each.format(role=role) for each in left]
            project.write(ids[-2], first, more=MODES[mode])
            project.write(ids[-1], _second(number))
        together = project.forwards()

    assert together.code == 0, together.output
    numbers = range(len(LEFT_BEHIND))
    assert _results(project.database, numbers) == dict.fromkeys(map(str, numbers), alone)
    found = state(project.database.url)
    assert found.ledger == tuple(ids)
    assert found.history == tuple((each, "forwards", "done") for each in ids)


@pytest.mark.parametrize(
    "timeout",
    [
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "statement_timeout",
        "lock_timeout",
    ],
)
def test_timeouts_of_the_database_do_not_end_a_run(project: Project, timeout: str) -> None:
    url, name = project.database.url, project.database.name
    known = query(url, f"SELECT count(*) FROM pg_settings WHERE name = '{timeout}'")[0][0]
    if not known:
        pytest.skip(f"this server has no {timeout}")
    execute(url, f"ALTER DATABASE {name} SET {timeout} = '100ms'")
    slow = "import time\nmanager.add_raw(lambda: time.sleep(0.3))"
    project.write("1", ["SELECT pg_sleep(0.3)", "CREATE TABLE t ()"], more=slow)
    ended = project.forwards()
    assert ended.code == 0, ended.output


@pytest.mark.parametrize("where", ["the URL", "the role", "the database"])
def test_a_search_path_that_leads_elsewhere_is_refused(project: Project, where: str) -> None:
    url, name = project.database.url, project.database.name
    execute(url, "CREATE SCHEMA app")
    variables = {}
    if where == "the URL":
        variables["DATABASE_URL"] = f"{url}&options=-csearch_path%3Dapp"
    elif where == "the role":
        execute(url, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET search_path = app")
    else:
        execute(url, f"ALTER DATABASE {name} SET search_path = app, public")
    project.write("1", ["CREATE TABLE t ()"])
    ended = project.forwards(**variables)
    assert ended.code == 3, ended.output
    assert "search_path" in ended.stderr
    assert "Nothing was run" in ended.stderr
    assert query(url, "SELECT FROM pg_class WHERE relname IN ('t', 'migration')") == []
