"""The settings that only the service needs."""

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
    """The settings of the service, in addition to those of every command."""

    secret: bytes = field(repr=False)
    """Key for the hashes under which sessions are stored: a new key ends all sessions."""
    hosts: tuple[str, ...]
    """Host names of the console, without a port."""
    secure: bool
    """Whether cookies are sent over HTTPS only."""

    @classmethod
    def load(
        cls, settings: Settings, environ: Mapping[str, str] = os.environ, *, people: bool = True
    ) -> "ServiceSettings":
        """Read the settings. Raises SettingsError, which names the variable.

        ``people`` is whether anybody can sign in; otherwise no secret is read.
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
            f"{where} PARTMAN_SECRET must be set to {SHORTEST_SECRET} or more characters that are "
            "kept secret and are the same in every instance. Generate them with: openssl rand "
            "-hex 32"
        )
    return value.encode(errors="surrogateescape")


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(value.lower().replace(",", " ").split())
    wrong = [host for host in hosts if "*" in host or "/" in host or _has_port(host)]
    if wrong or not hosts:
        raise SettingsError(
            f"PARTMAN_HOSTS is {value!r}; it must be host names without a port and without "
            "https://, as in: console.example.com localhost"
        )
    return hosts


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
