"""The whole compose file, brought up for real while things go wrong (make docker-test)."""

import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from partman.errors import ExitCode
from tests.docker.conftest import Deploy, Report
from tests.docker.deployment import Deployment
from tests.docker.engine import Engine
from tests.support import MIGRATIONS, ROOT, SIX_TABLES, execute

pytestmark = pytest.mark.docker

PRODUCTION = {"PARTMAN_ENV": "production", "COMPOSE_PROFILES": "api"}
DEVELOPMENT = {"PARTMAN_ENV": "development", "COMPOSE_PROFILES": "development,api"}
SERVICES = ("postgres", "roles", "migrations", "seed", "api", "serve")
READY = (200, None)

FAILING = """
from partman.migration import MigrationManager

ID = "2099-01-01T00:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = ""


async def forwards():
    manager = MigrationManager(migration_id=ID, app_name="partman", description=DESCRIPTION)
    manager.add_sql(
        forwards=["CREATE TABLE half (n int)", "SELECT no_such_column FROM organizations"],
        backwards=None,
    )
    return manager
"""


HARMLESS = FAILING.replace("SELECT no_such_column FROM organizations", "SELECT 1").replace(
    "backwards=None", 'backwards="DROP TABLE half"'
)


@pytest.fixture(scope="module", autouse=True)
def api_image(engine: Engine) -> Iterator[None]:
    """The application's image: the example's, as its README builds it."""
    base, api = "partman:docker-test-base", "partman-api:docker-test"
    engine.succeed("build", "-f", "docker/Dockerfile", "-t", base, ".", cwd=ROOT)
    argument = f"--build-arg=PARTMAN_IMAGE={base}"
    engine.succeed("build", "-t", api, argument, "docs/example", cwd=ROOT)
    try:
        yield
    finally:
        engine.docker("rmi", "--force", api, base)


def rows(deployment: Deployment) -> dict[str, list[asyncpg.Record]]:
    """All that is in the tables and in the bookkeeping, with the transactions that wrote it."""
    tables = sorted(SIX_TABLES | {"migration", "migration_history", "migration_step"})
    return {
        table: deployment.query(f"SELECT xmin::text, t.* FROM {table} t ORDER BY t::text")
        for table in tables
    }


def applied(deployment: Deployment) -> list[str]:
    return [row["name"] for row in deployment.query("SELECT name FROM migration ORDER BY name")]


def up_and_serving(deployment: Deployment, *arguments: str) -> None:
    """Bring everything up, and wait for what it ends with."""
    done = deployment.up(*arguments)
    assert done.code == 0, done.output + deployment.compose("logs", "--no-color").output
    deployment.wait_for(deployment.api_serves)
    deployment.wait_for(lambda: deployment.readiness() == READY)
    if deployment.containers("seed"):
        assert deployment.exit_code("seed") == 0


def a_customers_day(deployment: Deployment) -> list[str]:
    """Use the application: sign in, add a partner, see it; and not without the token."""
    [user] = deployment.query(
        "SELECT email FROM users JOIN organizations o ON o.id = organization_id"
        " WHERE subdomain = 'default' AND role = 'admin' ORDER BY email LIMIT 1"
    )
    email, password = user["email"], "correct horse battery"
    set_password = f"echo '{password}' | partman admin set-password {email} --organization default"
    done = deployment.compose(
        "run", "--rm", "-T", "--entrypoint", "sh", "migrations", "-c", set_password
    )
    assert done.code == 0, done.output
    status, answer = deployment.sign_in(email, password)
    assert status == 200
    token = answer["token"]
    partner = {"name": "Acme", "domain": "acme.example"}
    added, _ = deployment.ask_api("POST", "/partners", json=partner, token=token)
    assert added in {200, 201}
    status, listed = deployment.ask_api("GET", "/partners?limit=100", token=token)
    assert status == 200
    assert "acme.example" in {each["domain"] for each in listed}
    anonymous, _ = deployment.ask_api("GET", "/partners")
    assert anonymous == 401
    [of_others] = deployment.query(
        "SELECT count(*) FROM partners p JOIN organizations o ON o.id = organization_id"
        " WHERE subdomain <> 'default' AND p.id = ANY ($1)",
        [each["id"] for each in listed],
    )
    assert of_others[0] == 0
    return [
        f"signed in as {email}; {len(listed)} partners, one of them just added",
        f"GET /partners without a token: {anonymous}",
    ]


def health(container: dict[str, Any]) -> str:
    return str(container["State"]["Health"]["Status"])


def never_started(deployment: Deployment, service: str) -> bool:
    started = [each["State"]["StartedAt"] for each in deployment.containers(service)]
    return all(moment < "0001-01-02" for moment in started)


def test_a_fresh_volume_ends_with_an_api_that_serves(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**DEVELOPMENT)
    began = time.monotonic()
    up_and_serving(deployment, "--build")
    report(f"fresh volume: the api serves, and /health/ready is 200, after {since(began)} s")
    for line in a_customers_day(deployment):
        report(f"    api: {line}")
    assert applied(deployment) == list(MIGRATIONS)
    assert deployment.query("SELECT count(*) FROM partners")[0][0] > 1
    for service in ("roles", "migrations", "seed"):
        assert deployment.exit_code(service) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(deployment.url("partman_api", "PARTMAN_API_PASSWORD"), "SELECT FROM partners")
    deployment.wait_for(lambda: health(deployment.container("serve")) == "healthy")
    report(f"    serve: {deployment.logs('serve').splitlines()[-1]}")
    status, metrics = deployment.ask("/metrics")
    assert status == 200
    assert f"partman_migrations_applied {float(len(MIGRATIONS))}" in metrics
    assert 'partman_last_run_success{direction="forwards"' in metrics
    everything = [deployment.container(service) for service in SERVICES]
    mounts = [mount for container in everything for mount in container["Mounts"]]
    volumes = [mount["Name"] for mount in mounts if mount["Type"] == "volume"]
    assert volumes == [f"{deployment.name}_postgres-data"], "one without a name stays for ever"
    # What the containers may do is asked of the engine, and not of the file.
    for container in everything:
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        assert container["Config"]["User"] not in {"", "root", "0"}


def test_a_second_start_changes_nothing(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**DEVELOPMENT)
    up_and_serving(deployment, "--build")
    before = rows(deployment)
    assert deployment.compose("down").code == 0
    began = time.monotonic()
    up_and_serving(deployment)
    assert rows(deployment) == before
    report(f"second start: both serve after {since(began)} s, no row changed")
    report(f"    migrations: {deployment.logs('migrations').splitlines()[-1]}")
    report(f"    seed: {deployment.logs('seed').splitlines()[-1]}")


def test_a_password_that_is_changed_in_the_settings_is_changed_in_the_server(
    deploy: Deploy, report: Report
) -> None:
    deployment = deploy(**PRODUCTION)
    up_and_serving(deployment, "--build")
    before = deployment.url("partman_api", "PARTMAN_API_PASSWORD")
    execute(before, "SELECT 1")
    deployment.set(PARTMAN_API_PASSWORD="another's: 'quoted', @/%20")
    up_and_serving(deployment)
    assert deployment.container("api")["RestartCount"] == 0
    execute(deployment.url("partman_api", "PARTMAN_API_PASSWORD"), "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError) as refused:
        execute(before, "SELECT 1")
    report(f"changed password: the api serves with the new one; the old one: {refused.value}")
    told = deployment.logs("postgres") + deployment.logs("roles")
    assert "another's" not in told


def test_a_failing_migration_keeps_the_api_from_starting_and_says_why(
    deploy: Deploy, report: Report
) -> None:
    deployment = deploy(**PRODUCTION)
    migration = deployment.folder / "partman/piccolo_migrations/partman_2099_fails.py"
    migration.write_text(FAILING)
    failed = deployment.up("--build")
    assert failed.code != 0
    assert deployment.exit_code("migrations") == ExitCode.MIGRATION
    said = deployment.logs("migrations")
    report(f"failing migration: migrations ended with exit {ExitCode.MIGRATION:d}")
    [reason] = [line for line in said.splitlines() if line.startswith("partman: ")]
    report(f"    migrations: {reason}")
    assert 'column "no_such_column" does not exist' in reason
    assert "SELECT no_such_column FROM organizations" in reason
    assert never_started(deployment, "api")
    assert never_started(deployment, "serve")
    assert applied(deployment) == list(MIGRATIONS)
    assert deployment.query("SELECT to_regclass('half')")[0][0] is None

    migration.unlink()
    up_and_serving(deployment, "--build")


def test_two_replicas_that_start_at_once_both_serve(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**PRODUCTION)
    done = deployment.up("--build", "--scale", "api=2", "--scale", "serve=2")
    assert done.code == 0, done.output
    for replica in (0, 1):
        deployment.wait_for(lambda at=replica: deployment.api_serves(at))  # type: ignore[misc]
        deployment.wait_for(lambda at=replica: deployment.readiness(at) == READY)  # type: ignore[misc]
    for service in ("api", "serve"):
        assert [each["RestartCount"] for each in deployment.containers(service)] == [0, 0]
        began = time.monotonic()
        assert deployment.compose("stop", service).code == 0
        report(f"two replicas of {service}: both serve; both stopped in {since(began, 1)} s")
        codes = {each["State"]["ExitCode"] for each in deployment.containers(service)}
        # uvicorn itself ends with the signal that it was sent, after it has answered all.
        assert codes == ({0} if service == "serve" else {128 + signal.SIGTERM})


def test_of_two_startup_scripts_at_once_one_migrates(
    deploy: Deploy, engine: Engine, report: Report
) -> None:
    deployment = deploy(**PRODUCTION)
    assert deployment.up("--build", "postgres", "roles").code == 0
    assert deployment.exit_code("roles") == 0
    owner = f"PGPASSWORD={deployment.get('PARTMAN_OWNER_PASSWORD')}"
    url = "DATABASE_URL=postgresql://partman_owner@postgres/partman"
    network = f"--network={deployment.name}_default"
    image = "partman:docker-test-base"
    pods = [
        engine.succeed(
            "run", "-d", network, "-e", url, "-e", owner, "--read-only", image, "echo", "on"
        )
        for _ in range(2)
    ]
    try:
        assert [engine.succeed("wait", pod) for pod in pods] == ["0", "0"]
        said = [engine.docker("logs", pod) for pod in pods]
    finally:
        engine.docker("rm", "--force", *pods)
    assert [each.stdout for each in said] == ["on\n", "on\n"]
    counts = sorted(each.stderr.count("ok! ✔️") for each in said)
    assert counts == [0, len(MIGRATIONS)]
    ran = deployment.query("SELECT count(*) FROM migration_history")[0][0]
    assert ran == len(MIGRATIONS)
    report(f"two startup.sh at once: they applied {counts[0]} and {counts[1]} migrations")


def test_a_server_that_is_killed_comes_back_and_the_api_with_it(
    deploy: Deploy, engine: Engine, report: Report
) -> None:
    deployment = deploy(**DEVELOPMENT)
    up_and_serving(deployment, "--build")
    before = rows(deployment)
    kill(engine, deployment.container("postgres")["State"]["Pid"])
    deployment.wait_for(lambda: deployment.readiness() == (503, "unreachable"))
    deployment.wait_for(deployment.api_serves)
    log = deployment.logs("postgres")
    assert "database system was not properly shut down; automatic recovery in progress" in log
    assert deployment.container("postgres")["RestartCount"] == 1
    assert rows(deployment) == before
    assert deployment.container("api")["RestartCount"] == 0
    report("server killed: restarted and recovered; the api serves again, without a restart")
    deployment.wait_for(lambda: deployment.readiness() == READY)
    assert deployment.container("serve")["RestartCount"] == 0
    for line in deployment.logs("serve").splitlines()[-2:]:
        report(f"    serve: {line}")


def test_a_host_that_was_switched_off_starts_again(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**DEVELOPMENT)
    up_and_serving(deployment, "--build")
    before = rows(deployment)
    assert deployment.compose("kill").code == 0
    up_and_serving(deployment)
    assert rows(deployment) == before
    report("all killed, and brought up again: no row changed")


def kill(engine: Engine, pid: int) -> None:
    """As the kernel does it: `docker kill` would be taken for somebody's wish."""
    engine.succeed(
        "run",
        "--rm",
        "--pid=host",
        "--user=0",
        "--entrypoint=sh",
        "partman:docker-test-base",
        "-c",
        f"kill -9 {pid}",
    )


def test_production_gets_no_sample_data_even_with_the_profile(
    deploy: Deploy, report: Report
) -> None:
    deployment = deploy(PARTMAN_ENV="production", COMPOSE_PROFILES="development,api")
    up_and_serving(deployment, "--build")
    deployment.exit_code("seed")
    counts = [
        deployment.query(f"SELECT count(*) FROM {table}")[0][0] for table in ("users", "partners")
    ]
    assert counts == [1, 0]
    report(f"production: {counts[0]} user, {counts[1]} partners")
    report(f"    seed: {deployment.logs('seed').splitlines()[-1]}")


def test_production_refuses_to_serve_without_a_secret(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**PRODUCTION, PARTMAN_SECRET="")
    done = deployment.up("--build")
    assert done.code == 0, done.output
    deployment.wait_for(
        lambda: deployment.container("serve")["State"]["ExitCode"] == ExitCode.SETTINGS
    )
    refusal = deployment.logs("serve").splitlines()[0]
    assert "PARTMAN_ENV is production, where PARTMAN_SECRET must be set" in refusal
    assert health(deployment.container("serve")) != "healthy"
    deployment.wait_for(lambda: "PARTMAN_SECRET must have 32" in deployment.logs("api"))
    assert not deployment.api_serves()
    report(f"production without a secret: exit {ExitCode.SETTINGS:d}, {refusal}")


def test_it_rolls_back_from_inside_of_the_container(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**PRODUCTION)
    # One that takes nothing away from the service itself when it is gone.
    migration = deployment.folder / "partman/piccolo_migrations/partman_2099_more.py"
    migration.write_text(HARMLESS)
    up_and_serving(deployment, "--build")
    backwards = ("migrations", "backwards", "partman", "--auto_agree")
    done = deployment.compose(
        "run", "--rm", "-T", "--entrypoint", "piccolo", "migrations", *backwards
    )
    assert done.code == 0, done.output
    assert applied(deployment) == list(MIGRATIONS)
    assert deployment.readiness() == (503, "pending")
    status = deployment.compose("run", "--rm", "-T", "migrations", "status")
    assert "1 pending" in status.stdout
    assert status.code == ExitCode.NO
    [pending] = [line for line in status.stdout.splitlines() if "1 pending" in line]
    report("rolled back from inside of the container")
    report(f"    migrations: {done.stdout.splitlines()[0].strip()}")
    report(f"    status: {pending}")
    report(f"    serve: {deployment.logs('serve').splitlines()[-1]}")
    up_and_serving(deployment)
    assert applied(deployment) == [*MIGRATIONS, "2099-01-01T00:00:00:000000"]


def test_an_operator_is_added_from_inside_of_the_container(deploy: Deploy) -> None:
    deployment = deploy(**PRODUCTION)
    assert deployment.up("--build", "migrations").code == 0
    assert deployment.exit_code("migrations") == 0
    in_container = ("run", "--rm", "-T")
    create = "echo 'correct horse battery' | partman admin create ann@acme.example"
    created = deployment.compose(*in_container, "--entrypoint", "sh", "migrations", "-c", create)
    assert created.code == 0, created.output
    listed = deployment.compose(*in_container, "migrations", "admin", "list")
    assert listed.code == 0, listed.output
    assert "ann@acme.example" in listed.stdout


def test_docker_stop_ends_the_service_within_a_second(deploy: Deploy, report: Report) -> None:
    deployment = deploy(**PRODUCTION)
    up_and_serving(deployment, "--build")
    service = deployment.container("serve")["Id"]
    # With a client that keeps its connection, and the server gone without a word.
    with socket.create_connection(("127.0.0.1", deployment.ports("serve")[0])) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        deployment.engine.succeed("pause", deployment.container("postgres")["Id"])
        try:
            began = time.monotonic()
            deployment.engine.succeed("stop", service)
            took = time.monotonic() - began
        finally:
            deployment.engine.succeed("unpause", deployment.container("postgres")["Id"])
    report(f"docker stop of serve: {took:.2f} s, exit 0")
    assert deployment.container("serve")["State"]["ExitCode"] == ExitCode.OK
    assert took < 1


def since(moment: float, digits: int = 0) -> str:
    return f"{time.monotonic() - moment:.{digits}f}"
