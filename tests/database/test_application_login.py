"""The application's login is never the one that runs the migrations, in development either."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from partman.database import embedded
from partman.engine import PartmanEngine
from partman.errors import DatabaseUnavailableError, NotIsolatedError
from partman.isolation.logins import SESSION
from partman.settings import Settings
from partman.tables import TENANCY
from partman.tenant import tenant
from tests.faults.processes import Zygote
from tests.support import ROOT, SIX_TABLES, as_role

pytestmark = pytest.mark.same_on_every_version


@pytest.fixture
def migrated(installed: Path, zygote: Zygote) -> Iterator[dict[str, str]]:
    """The variables of a project on the embedded server, with development data."""
    environment = {"PARTMAN_DATA_DIR": str(installed)}
    try:
        for command in (
            ("piccolo", "migrations", "forwards", "all"),
            ("partman", "seed", "dev", "--opportunities", "20"),
        ):
            done = zygote.run(*command, environment=environment)
            assert done.code == 0, done.output
        yield environment
    finally:
        embedded.stop(installed)


def engine_of(variables: dict[str, str]) -> PartmanEngine:
    return PartmanEngine(settings=Settings.load(variables), tenancy=TENANCY)


async def value(engine: PartmanEngine, sql: str) -> Any:
    [[found]] = await engine.run_ddl(sql)
    return found


async def is_kept_outside(engine: PartmanEngine) -> None:
    """Whatever asks outside of tenant() is refused, and inside it is answered."""
    assert await value(engine, "SELECT session_user::text") == "partman_api"
    for table in SIX_TABLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=table):
            await engine.run_ddl(f"SELECT count(*) FROM {table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match=table):
            await engine.run_ddl(f"DELETE FROM {table}")
    organization = await value(engine, "SELECT organization_for_subdomain('default')")
    async with tenant(organization, engine=engine):
        assert await value(engine, "SELECT count(*) FROM organizations") == 1


async def test_on_the_embedded_server_a_forgotten_tenant_is_denied(
    migrated: dict[str, str], zygote: Zygote
) -> None:
    engine = engine_of(migrated)
    await is_kept_outside(engine)
    await engine.start_connection_pool(min_size=0, max_size=2)
    await is_kept_outside(engine)
    await engine.close_connection_pool()
    for name, setting in SESSION.items():
        assert await value(engine, f"SHOW {name}") == setting

    # The tools have the owner's login, and the shell has the application's.
    for command in (("piccolo", "fixtures", "dump", "partman"), ("partman", "check")):
        done = zygote.run(*command, environment=migrated)
        assert done.code == 0, done.output
    shell = zygote.run(
        "piccolo", "shell", "run", environment=migrated, stdin="await Organization.select()\n"
    )
    assert "permission denied for table organizations" in shell.output

    # A login of one's own, named beside the owner's, on a server of one's own.
    url = embedded.start(Path(migrated["PARTMAN_DATA_DIR"]))
    app = as_role(url, "partman_api")
    await is_kept_outside(engine_of({"DATABASE_URL": url, "PARTMAN_APP_DATABASE_URL": app}))
    wrong = engine_of({"DATABASE_URL": url, "PARTMAN_APP_DATABASE_URL": as_role(url, "nobody")})
    with pytest.raises(DatabaseUnavailableError, match="password in PARTMAN_APP_DATABASE_URL"):
        await wrong.run_ddl("SELECT 1")


async def test_before_the_migrations_the_application_is_told_to_run_them(
    installed: Path, zygote: Zygote
) -> None:
    environment = {"PARTMAN_DATA_DIR": str(installed)}
    engine = engine_of(environment)
    try:
        with pytest.raises(NotIsolatedError, match=r"no role partman_api.*forwards all"):
            await engine.run_ddl("SELECT 1")
        without = dataclasses.replace(Settings.load(environment), app_database_url=None)
        plain = PartmanEngine(settings=without)
        assert await value(plain, "SELECT current_user::text") == "partman"
    finally:
        embedded.stop(installed)


async def test_a_scratch_database_has_the_login_of_its_settings(server: str) -> None:
    """Not the application's: a migration is tried on it."""
    variables = {"DATABASE_URL": server, "PARTMAN_APP_DATABASE_URL": as_role(server, "nobody")}
    engine = engine_of(variables)
    with engine.working_on(engine.settings):
        assert await value(engine, "SELECT current_user::text") == "partman"
    with pytest.raises(DatabaseUnavailableError):
        await engine.run_ddl("SELECT 1")


def test_the_deployment_gives_its_logins_the_same_settings() -> None:
    roles = (ROOT / "docker" / "roles.sql").read_text()
    for name, value in SESSION.items():
        assert f"{name} = '{value}'" in roles or f"{name} = {value}'" in roles
