"""What the environment says, read once and checked.

``PARTMAN_ENV`` unset means *development* only while no database is named, neither by
``DATABASE_URL`` nor by the engine's ``config``. A database without a stated environment is
*production*: a forgotten variable does not fill it with sample data, or roll it back.

Plain dataclasses, because a settings library costs more to import than all the rest of
``partman status`` takes to run (see docs/performance.md).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from partman import project
from partman.connection_url import has_one_meaning
from partman.errors import SettingsError

E = TypeVar("E", bound=StrEnum)

VARIABLE = "DATABASE_URL"
"""Names the database; it wins over the engine's config."""
CONFIG = "the engine's config in piccolo_conf"

_WITHOUT_TLS = "postgresql:///?sslmode=disable&sslnegotiation=postgres"
"""What the URL of an embedded server says, which has no TLS."""

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
    database_url: str | None = field(repr=False)
    """Where the database is; None means the embedded server."""
    data_directory: Path
    """Where the embedded server keeps its files."""
    log_format: LogFormat
    pooling: Pooling
    policy: Policy
    """The environment's, with what single variables changed of it."""
    data_loss_in: frozenset[str]
    """IDs of migrations that may lose data."""

    url_source: str = VARIABLE
    """What names the database: VARIABLE or CONFIG."""
    driver_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What ``asyncpg.connect`` gets beside the URL: the rest of the engine's config."""

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, config: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Read the settings; ``config`` is the engine's, what ``asyncpg.connect`` takes.

        Raises SettingsError, which names the variable. A variable that is set to nothing
        counts as unset.
        """
        url, source, options = _database(environ, config or {})
        environment = _choice(
            environ,
            "PARTMAN_ENV",
            Environment,
            Environment.PRODUCTION if url else Environment.DEVELOPMENT,
        )
        if url is None and not POLICIES[environment].embedded_server:
            raise SettingsError(
                f"PARTMAN_ENV is {environment}, where DATABASE_URL must be set: the embedded "
                "server is for development and test. Nothing was done. Set DATABASE_URL, or the "
                "config of the engine in piccolo_conf."
            )
        return cls(
            environment=environment,
            database_url=url,
            data_directory=Path(
                environ.get("PARTMAN_DATA_DIR") or project.folder() / ".partman"
            ).absolute(),
            log_format=log_format(environ),
            pooling=_choice(environ, "PARTMAN_POOLING", Pooling, Pooling.NONE),
            policy=_policy(environ, POLICIES[environment]),
            data_loss_in=frozenset(environ.get("PARTMAN_ALLOW_DATA_LOSS", "").split()),
            url_source=source,
            driver_options=options,
        )

    @property
    def on_embedded_server(self) -> "Settings":
        """The same, for the embedded server."""
        return replace(
            self, database_url=None, driver_options=_options_for(None, self.driver_options)
        )


def log_format(environ: Mapping[str, str] = os.environ) -> LogFormat:
    """Return how log records are written. Raises SettingsError."""
    return _choice(environ, "PARTMAN_LOG_FORMAT", LogFormat, LogFormat.HUMAN)


def invalid_url(source: str) -> str:
    """Say that a URL is not valid, without the URL, which may have a password in it."""
    return (
        f"{source} is not a PostgreSQL URL that can be read. Nothing was done. Special characters "
        "in the user name and the password must be percent-encoded: '@' is %40, '/' is %2F, '#' is "
        "%23, '?' is %3F, '%' is %25. Or leave the password out, and set PGPASSWORD to it as it is."
    )


def _database(
    environ: Mapping[str, str], config: Mapping[str, Any]
) -> tuple[str | None, str, Mapping[str, Any]]:
    """Return the URL, what says it, and the driver's other arguments."""
    url, source = environ.get("DATABASE_URL") or None, VARIABLE
    options: Mapping[str, Any] = {}
    if config:
        from partman.engine_config import split_config

        configured, options = split_config(config)
        if url is None and configured is not None:
            url, source = configured, CONFIG
    if url is not None:
        _refuse_invalid(url, source)
    return url, source, options if source is CONFIG else _options_for(url, options)


def _options_for(url: str | None, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return those of the config's arguments that go with another URL; None: an embedded server."""
    if not options:
        return {}
    from partman.engine_config import options_for

    return options_for(url or _WITHOUT_TLS, options)


def _refuse_invalid(url: str, source: str) -> None:
    """Raise SettingsError for what is no URL of PostgreSQL, or could be read in several ways."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(
            f"{source} must start with postgresql:// or postgres://, as in "
            "postgresql://user:password@host:5432/database"
        )
    if not has_one_meaning(url):
        raise SettingsError(invalid_url(source))


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
