"""What the service has to be told, and what it refuses to begin with."""

import pytest

from partman.errors import ExitCode, SettingsError
from partman.serve.settings import SHORTEST_SECRET, ServiceSettings
from partman.settings import Settings
from tests.faults.processes import Zygote

SECRET = "s" * SHORTEST_SECRET
URL = "postgresql://somebody@192.0.2.1/nowhere"


def load(environment: str, **variables: str) -> ServiceSettings:
    settings = Settings.load({"DATABASE_URL": URL, "PARTMAN_ENV": environment})
    return ServiceSettings.load(settings, variables)


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_deployments_need_a_secret_and_https(environment: str) -> None:
    with pytest.raises(SettingsError, match=f"PARTMAN_ENV is {environment}, where PARTMAN_SECRET"):
        load(environment)
    with pytest.raises(SettingsError, match="too short: PARTMAN_SECRET"):
        load(environment, PARTMAN_SECRET=SECRET[1:])
    loaded = load(environment, PARTMAN_SECRET=SECRET)
    assert (loaded.secret, loaded.secure) == (SECRET.encode(), True)


@pytest.mark.parametrize("environment", ["development", "test"])
def test_in_development_each_process_has_its_own_secret(environment: str) -> None:
    first, second = load(environment), load(environment)
    assert len(first.secret) == SHORTEST_SECRET
    assert first.secret != second.secret
    assert not first.secure
    assert load(environment, PARTMAN_SECRET=SECRET).secret == SECRET.encode()
    with pytest.raises(SettingsError, match="too short"):
        load(environment, PARTMAN_SECRET="guess")


def test_a_secret_of_any_bytes_is_one() -> None:
    """What is no UTF-8 in the environment is half characters in Python."""
    assert load("production", PARTMAN_SECRET="\udcff" * 32).secret == b"\xff" * 32


def test_the_service_does_not_begin_without_a_secret(zygote: Zygote) -> None:
    environment = {"DATABASE_URL": URL, "PARTMAN_ENV": "production"}
    for secret in ("", "guess"):
        refused = zygote.run(
            "partman", "serve", "--port", "0", environment=environment | {"PARTMAN_SECRET": secret}
        )
        assert refused.code == ExitCode.SETTINGS
        [line] = refused.output.splitlines()
        assert "PARTMAN_SECRET must be set to 32 or more characters" in line
        assert "guess" not in line


def test_nothing_shows_the_secret() -> None:
    loaded = load("production", PARTMAN_SECRET=SECRET)
    assert SECRET not in f"{loaded} {loaded!r} {vars(loaded).keys()}"


def test_hosts_are_names_without_a_port() -> None:
    local = ("localhost", "127.0.0.1", "[::1]")
    assert load("test").hosts == local
    assert load("test", PARTMAN_HOSTS="").hosts == local
    hosts = load("test", PARTMAN_HOSTS="Console.Example.com, localhost [::1]").hosts
    assert hosts == ("console.example.com", "localhost", "[::1]")
    for wrong in ("*", "*.example.com", "https://example.com", "example.com:8000", "[::1]:80", ","):
        with pytest.raises(SettingsError, match="PARTMAN_HOSTS is"):
            load("test", PARTMAN_HOSTS=wrong)
