"""What the environment says, read once and checked.

``PARTMAN_ENV`` unset means *development* only while ``DATABASE_URL`` is unset too. A
``DATABASE_URL`` without a stated environment is *production*: nobody fills a real database
with sample data, or rolls it back, by forgetting a variable.

Plain dataclasses, because a settings library costs more to import than all the rest of
``partman status`` takes to run (see docs/performance.md).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from partman.errors import SettingsError

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent

E = TypeVar("E", bound=StrEnum)


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


@dataclass(frozen=True)
class Policy:
    """What an environment allows."""

    embedded_server: bool
    """Whether the embedded server may stand in for a missing ``DATABASE_URL``."""
    development_seeds: bool
    """Whether ``partman seed dev`` may run."""
    redo: bool
    """Whether ``partman redo`` may run."""


POLICIES: Mapping[Environment, Policy] = {
    Environment.DEVELOPMENT: Policy(embedded_server=True, development_seeds=True, redo=True),
    Environment.TEST: Policy(embedded_server=True, development_seeds=False, redo=True),
    Environment.STAGING: Policy(embedded_server=False, development_seeds=False, redo=False),
    Environment.PRODUCTION: Policy(embedded_server=False, development_seeds=False, redo=False),
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

    @property
    def policy(self) -> Policy:
        """What the environment allows."""
        return POLICIES[self.environment]

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
        return cls(
            environment=environment,
            database_url=url,
            data_directory=Path(
                environ.get("PARTMAN_DATA_DIR") or _default_data_directory()
            ).absolute(),
            log_format=_choice(environ, "PARTMAN_LOG_FORMAT", LogFormat, LogFormat.HUMAN),
        )


def _choice(environ: Mapping[str, str], name: str, kind: type[E], default: E) -> E:
    value = environ.get(name)
    if not value:
        return default
    try:
        return kind(value.strip().lower())
    except ValueError:
        raise SettingsError(
            f"{name} is {value!r}; it can be {', '.join(kind)}."
        ) from None


def _default_data_directory() -> Path:
    """Beside the checkout's pyproject.toml; where partman is installed, the current folder."""
    in_checkout = (PROJECT_DIRECTORY / "pyproject.toml").exists()
    return (PROJECT_DIRECTORY if in_checkout else Path.cwd()) / ".partman"
