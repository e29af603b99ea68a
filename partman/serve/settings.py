"""What only the service needs to be told."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from partman.errors import SettingsError
from partman.settings import Environment, Settings

SHORTEST_SECRET = 32
"""Characters."""

_LOCAL = "localhost 127.0.0.1 [::1]"


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of the service, beside those of every command."""

    secret: bytes = field(repr=False)
    """Sessions are kept under a hash that is keyed with it: another one ends them all."""
    hosts: tuple[str, ...]
    """The names under which the console is reached, without a port."""
    secure: bool
    """Whether cookies are for HTTPS only."""

    @classmethod
    def load(
        cls, settings: Settings, environ: Mapping[str, str] = os.environ, *, people: bool = True
    ) -> "ServiceSettings":
        """Read the settings. Raises SettingsError, which names the variable.

        ``people``: whether anybody can sign in. Otherwise no secret is read.
        """
        deployed = settings.environment in {Environment.STAGING, Environment.PRODUCTION}
        return cls(
            secret=_secret(environ, settings.environment if deployed else None) if people else b"",
            hosts=_hosts(environ.get("PARTMAN_HOSTS") or _LOCAL),
            secure=deployed,
        )


def _secret(environ: Mapping[str, str], needed_in: Environment | None) -> bytes:
    value = environ.get("PARTMAN_SECRET", "")
    if not value and needed_in is None:
        return secrets.token_bytes(SHORTEST_SECRET)  # the sessions end with the process
    if len(value) < SHORTEST_SECRET:
        where = f"PARTMAN_ENV is {needed_in}, where" if not value else "It is too short:"
        raise SettingsError(
            f"{where} PARTMAN_SECRET must be set to {SHORTEST_SECRET} characters or more that "
            "nobody knows, the same in every instance. To make one: openssl rand -hex 32"
        )
    return value.encode(errors="surrogateescape")


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(value.lower().replace(",", " ").split())
    wrong = [host for host in hosts if "*" in host or "/" in host or _has_port(host)]
    if wrong or not hosts:
        raise SettingsError(
            f"PARTMAN_HOSTS is {value!r}; it must be names of hosts, without a port and without "
            "https://, as in: console.example.com localhost"
        )
    return hosts


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
