"""What the environment says, read once and checked.

``PARTMAN_ENV`` unset means *development* only while ``DATABASE_URL`` is unset too. A
``DATABASE_URL`` without a stated environment is *production*: nobody fills a real database
with sample data, or rolls it back, by forgetting a variable.

Plain dataclasses, because a settings library costs more to import than all the rest of
``partman status`` takes to run (see docs/performance.md).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from partman.errors import SettingsError

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent

E = TypeVar("E", bound=StrEnum)

URL_NOT_UNDERSTOOD = (
    "DATABASE_URL is not a PostgreSQL URL that can be understood. Special characters in the user "
    "name and the password must be percent-encoded ('@' is %40, '/' is %2F)."
)
"""It does not quote the URL, and with it the password."""

_LONGEST = 2_000_000
"""Seconds; PostgreSQL keeps timeouts as milliseconds in 32 bits."""


class Environment(StrEnum):
    """What kind of database this is, which decides what may be done to it."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How log records are written to the standard error."""

    HUMAN = "human"
    JSON = "json"


class Preflight(StrEnum):
    """What to do about edited, missing and late migrations."""

    STOP = "stop"
    WARN = "warn"


class Pooling(StrEnum):
    """What is between the application and the server."""

    NONE = "none"
    """Nothing, or a proxy that keeps a server process for each connection."""
    TRANSACTION = "transaction"
    """A proxy that gives each transaction to another server process, such as pgbouncer in
    transaction mode: nothing may be left on a connection, prepared statements neither."""


@dataclass(frozen=True)
class Policy:
    """What an environment allows, and how long it waits. Times are in seconds."""

    embedded_server: bool
    """Whether the embedded server may stand in for a missing ``DATABASE_URL``."""
    development_seeds: bool
    """Whether ``partman seed dev`` may run."""
    redo: bool
    """Whether ``partman redo`` may run."""
    data_loss: bool
    """Whether a migration may lose data without being named in PARTMAN_ALLOW_DATA_LOSS."""
    strict_preflight: bool
    """Whether edited, missing and late migrations stop a run; otherwise it warns of them."""
    lock_wait: float
    """How long to wait for another run to finish."""
    lock_timeout: float
    """How long a statement of a migration waits for a lock; 0 is for ever. Whoever comes after it
    queues up behind it for as long."""
    statement_timeout: float
    """How long a statement of a migration may take; 0 is for ever."""
    step_patience: float
    """How long a step of an online migration is tried again for its lock."""

    @property
    def timeouts(self) -> str:
        """The statements that give them to a session."""
        return (
            f"SET lock_timeout = {round(self.lock_timeout * 1000)};"
            f"SET statement_timeout = {round(self.statement_timeout * 1000)};"
        )


_RELAXED = Policy(
    embedded_server=True,
    development_seeds=True,
    redo=True,
    data_loss=True,
    strict_preflight=False,
    lock_wait=60,
    lock_timeout=5,
    statement_timeout=0,
    step_patience=30,
)
_STRICT = Policy(
    embedded_server=False,
    development_seeds=False,
    redo=False,
    data_loss=False,
    strict_preflight=True,
    lock_wait=300,
    lock_timeout=2,
    statement_timeout=900,
    step_patience=600,
)
POLICIES: Mapping[Environment, Policy] = {
    Environment.DEVELOPMENT: _RELAXED,
    Environment.TEST: replace(_RELAXED, development_seeds=False),
    Environment.STAGING: _STRICT,
    Environment.PRODUCTION: _STRICT,
}


@dataclass(frozen=True)
class Settings:
    """The settings of one process."""

    environment: Environment
    database_url: str | None
    """Where the database is; None means the embedded server."""
    data_directory: Path
    """Where the embedded server keeps its files."""
    log_format: LogFormat
    pooling: Pooling
    policy: Policy
    """The environment's, with what single variables changed of it."""
    data_loss_in: frozenset[str]
    """IDs of migrations that may lose data."""

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings.

        Raises SettingsError, which names the variable. A variable that is set to nothing
        counts as unset.
        """
        url = environ.get("DATABASE_URL") or None
        environment = _choice(
            environ,
            "PARTMAN_ENV",
            Environment,
            Environment.PRODUCTION if url else Environment.DEVELOPMENT,
        )
        if url is None and not POLICIES[environment].embedded_server:
            raise SettingsError(
                f"PARTMAN_ENV is {environment}, where DATABASE_URL must be set: the embedded "
                "server is for development and test."
            )
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            raise SettingsError(
                "DATABASE_URL must start with postgresql:// or postgres://, "
                "as in postgresql://user:password@host:5432/database"
            )
        if url is not None:
            _refuse_nonsense(url)
        return cls(
            environment=environment,
            database_url=url,
            data_directory=Path(
                environ.get("PARTMAN_DATA_DIR") or _default_data_directory()
            ).absolute(),
            log_format=_choice(environ, "PARTMAN_LOG_FORMAT", LogFormat, LogFormat.HUMAN),
            pooling=_choice(environ, "PARTMAN_POOLING", Pooling, Pooling.NONE),
            policy=_policy(environ, POLICIES[environment]),
            data_loss_in=frozenset(environ.get("PARTMAN_ALLOW_DATA_LOSS", "").split()),
        )


def _refuse_nonsense(url: str) -> None:
    """Raise SettingsError for what cannot even be divided, as brackets around no IPv6 address."""
    try:
        urlsplit(url)
    except ValueError:
        raise SettingsError(URL_NOT_UNDERSTOOD) from None


def _policy(environ: Mapping[str, str], policy: Policy) -> Policy:
    preflight = _choice(
        environ,
        "PARTMAN_PREFLIGHT",
        Preflight,
        Preflight.STOP if policy.strict_preflight else Preflight.WARN,
    )
    return replace(
        policy,
        strict_preflight=preflight is Preflight.STOP,
        lock_wait=_seconds(environ, "PARTMAN_LOCK_WAIT", policy.lock_wait),
        lock_timeout=_seconds(environ, "PARTMAN_LOCK_TIMEOUT", policy.lock_timeout),
        statement_timeout=_seconds(environ, "PARTMAN_STATEMENT_TIMEOUT", policy.statement_timeout),
        step_patience=_seconds(environ, "PARTMAN_STEP_PATIENCE", policy.step_patience),
    )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    value = environ.get(name)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= _LONGEST:
        raise SettingsError(f"{name} is {value!r}; it must be a number of seconds, 0 or more.")
    return seconds


def _choice(environ: Mapping[str, str], name: str, kind: type[E], default: E) -> E:
    value = environ.get(name)
    if not value:
        return default
    try:
        return kind(value.strip().lower())
    except ValueError:
        raise SettingsError(f"{name} is {value!r}; it can be {', '.join(kind)}.") from None


def _default_data_directory() -> Path:
    """Beside the checkout's pyproject.toml; where partman is installed, the current folder."""
    in_checkout = (PROJECT_DIRECTORY / "pyproject.toml").exists()
    return (PROJECT_DIRECTORY if in_checkout else Path.cwd()) / ".partman"
