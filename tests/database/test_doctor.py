"""``partman doctor``: each thing that can be wrong is found, with what to type."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import pytest

from partman import doctor
from partman.doctor import Finding, State, examine
from partman.isolation import Roles
from partman.plan import squawk
from partman.settings import Settings
from tests.support import Database, as_role, run
from tests.tenants import login_role

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def settings(database: Database, **variables: str) -> Settings:
    return Settings.load({"DATABASE_URL": database.url, **variables})


def of(subject: str, found: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in found if finding.subject == subject]


def test_nothing_is_wrong_with_a_migrated_database(database: Database) -> None:
    fine = run("partman", "doctor", environment=database.environment)
    assert fine.code == 0, fine.output
    assert fine.stdout.startswith("nothing is wrong  ")
    assert "\nwrong" not in fine.stdout
    facts = json.loads(run("partman", "doctor", "--json", environment=database.environment).stdout)
    assert facts["wrong"] == 0
    subjects = {finding["subject"] for finding in facts["findings"]}
    assert subjects >= {
        *("environment", "versions", "disk", "login", "clock", "server", "pooler", "rights"),
        *("migrations", "roles", "application"),
    }


def test_a_login_that_is_rejected_is_the_last_thing_looked_at(database: Database) -> None:
    nobody = Database(as_role(database.url, "nobody_at_all"))
    wrong = run("partman", "doctor", environment=nobody.environment)
    assert wrong.code == 1
    assert wrong.stdout.startswith("1 wrong  ")
    assert wrong.stdout.splitlines()[2].startswith("wrong  login        nobody_at_all@")
    assert "Traceback" not in wrong.output


def test_an_invalid_setting_is_told_as_by_every_command() -> None:
    wrong = run("partman", "doctor", environment={"PARTMAN_ENV": "somewhere"})
    assert (wrong.code, wrong.stdout) == (3, "")


def test_a_login_without_rights(empty_database: Database) -> None:
    with login_role() as role:
        nobody = Database(as_role(empty_database.url, role))
        found = asyncio.run(examine(settings(nobody)))
    may_not, scratch = of("rights", found)
    assert may_not.state is State.WRONG
    assert may_not.remedy == f"As its owner: GRANT CREATE ON SCHEMA public TO {role};"
    assert (scratch.state, "--scratch embedded" in scratch.remedy) == (State.NOTE, True)
    [pending] = of("migrations", found)
    assert (pending.state, pending.remedy) == (State.NOTE, "partman migrate")


async def test_an_application_that_sees_all_rows(database: Database) -> None:
    both = settings(database, PARTMAN_APP_DATABASE_URL=database.url)
    [application] = of("application", await examine(both))
    assert application.state is State.WRONG
    assert "sees the rows of all tenants" in application.told
    assert "partman_api" in application.remedy
    elsewhere = settings(database, PARTMAN_APP_DATABASE_URL=as_role(database.url, "nobody_at_all"))
    [application] = of("application", await examine(elsewhere))
    assert application.state is State.WRONG


class Tenancy(NamedTuple):
    roles: Roles


@pytest.mark.parametrize(("is_migrated", "state"), [(True, State.WRONG), (False, State.NOTE)])
async def test_roles_that_are_missing(
    empty_database: Database, is_migrated: bool, state: State
) -> None:
    connection = await asyncpg.connect(empty_database.url)
    tenancy = Tenancy(Roles.named("no_such_project"))
    found = await doctor._roles(connection, tenancy, is_migrated=is_migrated)  # type: ignore[arg-type]
    await connection.close()
    assert found.state is state
    assert "no_such_project_api, no_such_project_app" in found.told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "As the server's."),
        (4, "As the server's."),
        (90, "This machine is 1 min 30 s behind the server."),
        (-90, "This machine is 1 min 30 s ahead of the server."),
    ],
)
def test_clocks(seconds: float, told: str) -> None:
    found = doctor._clock(NOW + timedelta(seconds=seconds), NOW, NOW)
    assert found.told == told
    assert (found.state is State.OK) == (abs(seconds) < 5)


@pytest.mark.parametrize(
    ("free", "state"), [(1 << 40, State.OK), (1 << 29, State.NOTE), (1000, State.WRONG)]
)
def test_disks(free: int, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(free))
    found = doctor._disk(Settings.load({"PARTMAN_DATA_DIR": "/no/such/folder"}))
    assert found.state is state
    assert found.told.endswith(" free in /.")


async def test_a_pool_in_transaction_mode(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def assigns(connection: object, settings: Settings) -> bool:
        return True

    monkeypatch.setattr(doctor, "assigns_processes_per_transaction", assigns)
    [pooler] = of("pooler", await examine(settings(database)))
    assert pooler.state is State.WRONG
    assert "PARTMAN_POOLING=transaction" in pooler.remedy


def test_a_standby() -> None:
    found = doctor._standby(is_standby=True)
    assert (found.state, found.remedy) == (State.WRONG, "Set DATABASE_URL to the primary.")


def test_a_program_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [each.subject for each in doctor._programs(99)] == ["pg_dump"]
    monkeypatch.setattr(squawk, "program", lambda: None)
    assert [each.subject for each in doctor._programs(15)] == ["squawk"]
