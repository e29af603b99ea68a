"""The compose file: who waits for whom, and what a container may do.

That it is a valid compose file is checked by `make lint`.
"""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support import ROOT

COMPOSE_FILE = ROOT / "docker" / "docker-compose.yml"
COMPOSE: dict[str, Any] = YAML(typ="safe").load(COMPOSE_FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_roles_wait_for_a_healthy_server_and_migrations_for_the_roles() -> None:
    assert SERVICES["roles"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrations"]["depends_on"] == {
        "roles": {"condition": "service_completed_successfully"}
    }


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"postgres", "roles", "migrations"}))
def test_everything_else_waits_until_the_migrations_have_ended_well(name: str) -> None:
    waits_for = SERVICES[name]["depends_on"]
    assert waits_for["migrations"] == {"condition": "service_completed_successfully"}


def test_the_server_is_healthy_only_when_it_answers_over_tcp() -> None:
    # While the image sets up a new cluster, a server without the database answers on the socket.
    check = SERVICES["postgres"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "pg_isready"]
    assert "--host=127.0.0.1" in check


def test_migrations_run_once_and_without_sample_data() -> None:
    migrations = SERVICES["migrations"]
    assert (migrations["entrypoint"], migrations["command"][0]) == (["partman"], "migrate")
    assert migrations["restart"] == "no"


def test_sample_data_needs_both_the_profile_and_the_environment() -> None:
    seeding = [name for name, service in SERVICES.items() if "seed" in service.get("command", [])]
    assert seeding == ["seed"]
    assert SERVICES["seed"]["profiles"] == ["development"]
    assert SERVICES["seed"]["environment"]["PARTMAN_ENV"] == "${PARTMAN_ENV:-production}"


def test_the_server_container_runs_no_sql() -> None:
    assert [path.name for path in (ROOT / "docker").glob("**/*.sql")] == ["roles.sql"]
    assert "docker-entrypoint-initdb" not in COMPOSE_FILE.read_text()


LOGINS = {"migrations": "OWNER", "seed": "SEED", "api": "API", "serve": "CONSOLE"}


@pytest.mark.parametrize("name", LOGINS)
def test_a_service_has_the_one_login_that_it_needs_and_no_other_password(name: str) -> None:
    login, environment = LOGINS[name], SERVICES[name]["environment"]
    assert environment["DATABASE_URL"].startswith(f"postgresql://partman_{login.lower()}@")
    passwords = re.findall(r"\$\{(\w*PASSWORD)", str(environment))
    assert passwords == [f"PARTMAN_{login}_PASSWORD"]


def test_the_service_starts_with_the_others_and_is_healthy_only_when_it_is_ready() -> None:
    serve = SERVICES["serve"]
    assert "profiles" not in serve
    assert serve["command"][0] == "serve"
    assert "/health/ready" in serve["healthcheck"]["test"][-1]
    # Whether it needs one is decided by the service, which knows what kind of database it is.
    assert serve["environment"]["PARTMAN_SECRET"] == "${PARTMAN_SECRET:-}"


def test_the_data_is_in_a_named_volume() -> None:
    [mount] = SERVICES["postgres"]["volumes"]
    volume, _, target = mount.partition(":")
    assert volume in COMPOSE["volumes"]
    assert SERVICES["postgres"]["environment"]["PGDATA"].startswith(f"{target}/")


@pytest.mark.parametrize("name", SERVICES)
def test_no_port_is_open_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_password_comes_from_the_environment_or_compose_refuses() -> None:
    passwords = re.findall(r"^ +\w*PASSWORD: (.+)$", COMPOSE_FILE.read_text(), re.MULTILINE)
    assert len(passwords) == 10
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+}", password) for password in passwords)


def test_the_image_does_not_run_as_root() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    users = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert users
    assert "0" not in users
