"""Settings from the environment, read once and validated.

``PARTMAN_ENV`` unset means *development* only if no database is named, neither by ``DATABASE_URL``
nor by the engine's ``config``. A database without a stated environment is *production*: so a
forgotten variable does not fill it with sample data, or revert its migrations.

Plain dataclasses, because importing a settings library takes longer than the whole of ``partman
status`` (see docs/performance.md).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from partman import env_file, project
from partman.connection_url import has_one_meaning
from partman.errors import SettingsError

E = TypeVar("E", bound=StrEnum)

VARIABLE = "DATABASE_URL"
"""Names the database, and takes precedence over the engine's config."""
APP_VARIABLE = "PARTMAN_APP_DATABASE_URL"
"""Names the database again, with the application's login."""
CONFIG = "the engine's config in piccolo_conf"

_WITHOUT_TLS = "postgresql:///?sslmode=disable&sslnegotiation=postgres"
"""The query of an embedded server's URL: these servers have no TLS."""

_LONGEST = 2_000_000
"""Seconds; PostgreSQL stores timeouts as milliseconds in 32 bits."""


class Environment(StrEnum):
    """The kind of database, which decides what commands are allowed."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """The format of log records on standard error."""

    HUMAN = "human"
    JSON = "json"


class Preflight(StrEnum):
    """How to react to edited, missing and late migrations."""

    STOP = "stop"
    WARN = "warn"


class Pooling(StrEnum):
    """What is between the application and the server."""

    NONE = "none"
    """Nothing, or a proxy that keeps one server process for each connection."""
    TRANSACTION = "transaction"
    """A proxy that assigns each transaction to another server process, such as pgbouncer in
    transaction mode: a connection keeps no state, not even prepared statements.
    """


@dataclass(frozen=True)
class Policy:
    """What an environment allows, and its timeouts. Times are in seconds."""

    embedded_server: bool
    """Whether the embedded server may replace a missing ``DATABASE_URL``."""
    development_seeds: bool
    """Whether ``partman seed dev`` may run."""
    redo: bool
    """Whether ``partman redo`` may run."""
    data_loss: bool
    """Whether a migration may lose data without being named in PARTMAN_ALLOW_DATA_LOSS."""
    counts_losses: bool
    """Whether a run checks for data loss; a scratch database has no rows that matter."""
    strict_preflight: bool
    """Whether edited, missing and late migrations stop a run; otherwise they are a warning."""
    lock_wait: float
    """How long to wait for another run to finish."""
    lock_timeout: float
    """How long a statement of a migration waits for a lock; 0 is for ever. Other sessions queue
    behind it for as long.
    """
    statement_timeout: float
    """How long a statement of a migration may take; 0 is for ever."""
    step_patience: float
    """How long a step of an online migration is retried for its lock."""

    @property
    def timeouts(self) -> str:
        """The statements that set them in a session."""
        return (
            f"SET lock_timeout = {round(self.lock_timeout * 1000)};"
            f"SET statement_timeout = {round(self.statement_timeout * 1000)};"
        )


_RELAXED = Policy(
    embedded_server=True,
    development_seeds=True,
    redo=True,
    data_loss=True,
    counts_losses=True,
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
    counts_losses=True,
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
class DatabaseLocale:
    """What only CREATE DATABASE decides: the options of that name."""

    encoding: str
    provider: str
    """``libc``, ``icu`` or ``builtin``."""
    collate: str
    ctype: str
    locale: str | None
    """The locale of a provider other than libc."""
    icu_rules: str | None


@dataclass(frozen=True)
class DatabaseForm:
    """What a database gives its sessions, so that a statement means the same in another one."""

    locale: DatabaseLocale
    parameters: tuple[str, ...]
    """As ``name=value``: the settings of the database."""
    role_parameters: tuple[str, ...] = ()
    """The settings of the login role in the database."""
    session_parameters: tuple[str, ...] = ()
    """What its sessions start with because of these, or on another server because of anything."""
    missing: str | None = None
    """A sentence: what a scratch database on another server cannot have of the live one."""


@dataclass(frozen=True)
class Settings:
    """The settings of one process."""

    environment: Environment
    database_url: str | None = field(repr=False)
    """The address of the database; None means the embedded server."""
    data_directory: Path
    """The folder of the embedded server's files."""
    log_format: LogFormat
    pooling: Pooling
    policy: Policy
    """The environment's policy, with the changes from single variables."""
    data_loss_in: frozenset[str]
    """IDs of migrations that may lose data."""

    pool_wait: float = 5
    """How long, in seconds, to wait for a connection of a full pool; 0 is for ever."""
    url_source: str = VARIABLE
    """What names the database: VARIABLE, with the file that it comes from, or CONFIG."""
    driver_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Further arguments of ``asyncpg.connect``: the rest of the engine's config."""
    app_database_url: str | None = field(default=None, repr=False)
    """The same database with the application's login; None: there is no other login."""
    scratch_form: DatabaseForm | None = None
    """The form of scratch databases; None: that of the database to which these settings connect."""
    builds_anew: bool = False
    """Whether scratch databases are built although what they would have is kept."""

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, config: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Read the settings; ``config`` is the engine's, the arguments of ``asyncpg.connect``.

        Of the process's environment, with the variables of the file ``.env``, which it adds; or
        of ``environ``. Raises SettingsError, which names the variable. An empty variable counts
        as unset.
        """
        if environ is os.environ:
            env_file.read(is_database_configured=_names_database(config or {}))
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
            data_directory=data_directory(environ),
            log_format=log_format(environ),
            pooling=_choice(environ, "PARTMAN_POOLING", Pooling, Pooling.NONE),
            policy=_policy(environ, POLICIES[environment]),
            data_loss_in=frozenset(environ.get("PARTMAN_ALLOW_DATA_LOSS", "").split()),
            pool_wait=_seconds(environ, "PARTMAN_POOL_WAIT", cls.pool_wait),
            url_source=source,
            driver_options=options,
            app_database_url=_app_url(environ, url),
        )

    @property
    def scratch_note(self) -> str | None:
        """What scratch databases cannot have of the live one, as a sentence."""
        return self.scratch_form.missing if self.scratch_form else None

    @property
    def of_the_application(self) -> "Settings":
        """The same settings for the application's own login, where it is named."""
        if self.app_database_url is None:
            return self
        return replace(
            self,
            database_url=self.app_database_url,
            app_database_url=None,
            url_source=env_file.named(APP_VARIABLE),
            driver_options=_options_for(self.app_database_url, self.driver_options),
        )

    @property
    def on_embedded_server(self) -> "Settings":
        """The same settings for the embedded server."""
        return replace(
            self,
            database_url=None,
            app_database_url=None,
            driver_options=_options_for(None, self.driver_options),
        )

    def on(self, url: str, source: str) -> "Settings":
        """Return the same settings for another database; ``source`` says what has named it.

        Raises SettingsError.
        """
        _refuse_invalid(url, source)
        return replace(
            self,
            database_url=url,
            url_source=source,
            driver_options=_options_for(url, self.driver_options),
        )


def log_format(environ: Mapping[str, str] = os.environ) -> LogFormat:
    """Return the format of log records. Raises SettingsError."""
    return _choice(environ, "PARTMAN_LOG_FORMAT", LogFormat, LogFormat.HUMAN)


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what can be made again: the embedded server, and what is kept."""
    return Path(environ.get("PARTMAN_DATA_DIR") or project.folder() / ".partman").absolute()


def invalid_url(source: str) -> str:
    """Return the message for an invalid URL, without the URL, which may contain a password."""
    return (
        f"{source} is not a valid PostgreSQL URL. Nothing was done. Special characters "
        "in the user name and the password must be percent-encoded: '@' is %40, '/' is %2F, '#' is "
        "%23, '?' is %3F, '%' is %25. Or omit the password from the URL and set PGPASSWORD to it, "
        "unencoded."
    )


def _names_database(config: Mapping[str, Any]) -> bool:
    if not config:
        return False
    from partman.engine_config import split_config

    return split_config(config)[0] is not None


def _database(
    environ: Mapping[str, str], config: Mapping[str, Any]
) -> tuple[str | None, str, Mapping[str, Any]]:
    """Return the URL, its source, and the driver's other arguments."""
    url, source = environ.get(VARIABLE) or None, env_file.named(VARIABLE)
    options: Mapping[str, Any] = {}
    if config:
        from partman.engine_config import split_config

        configured, options = split_config(config)
        if url is None and configured is not None:
            url, source = configured, CONFIG
    if url is not None:
        _refuse_invalid(url, source)
    return url, source, options if source is CONFIG else _options_for(url, options)


def _app_url(environ: Mapping[str, str], url: str | None) -> str | None:
    """Return the URL of the application's login."""
    app_url = environ.get(APP_VARIABLE) or None
    if app_url is None:
        return None
    if url is None:
        raise SettingsError(
            f"{APP_VARIABLE} is set and {VARIABLE} is not. Nothing was done. Set {VARIABLE} to the "
            "login that runs the migrations; a process that only runs the application needs no "
            f"other variable than {VARIABLE}, with the application's login."
        )
    _refuse_invalid(app_url, env_file.named(APP_VARIABLE))
    return app_url


def _options_for(url: str | None, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config's arguments that fit another URL; None is the embedded server's."""
    if not options:
        return {}
    from partman.engine_config import options_for

    return options_for(url or _WITHOUT_TLS, options)


def _refuse_invalid(url: str, source: str) -> None:
    """Raise SettingsError for a URL that is invalid or ambiguous."""
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
        raise SettingsError(
            f"{env_file.named(name)} is {value!r}; it must be a number of seconds, 0 or more."
        )
    return seconds


def _choice(environ: Mapping[str, str], name: str, kind: type[E], default: E) -> E:
    value = environ.get(name)
    if not value:
        return default
    try:
        return kind(value.strip().lower())
    except ValueError:
        known = ", ".join(kind)
        raise SettingsError(
            f"{env_file.named(name)} is {value!r}; it must be one of: {known}."
        ) from None
