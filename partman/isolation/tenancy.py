"""How a project keeps its tenants apart, as one value that everything else is derived from."""

import re
from dataclasses import dataclass, field, fields
from enum import StrEnum

from partman.errors import SettingsError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SETTING = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")


class Key(StrEnum):
    """The type of a tenant's ID, as PostgreSQL names it."""

    UUID = "uuid"
    INTEGER = "integer"
    BIGINT = "bigint"
    TEXT = "text"


@dataclass(frozen=True)
class Roles:
    """The roles of a multi-tenant database. None: the project has no use for that role."""

    app: str = "partman_app"
    """What the application's statements run as, inside of ``tenant()``."""
    api: str = "partman_api"
    """What the application logs in as. By itself it may do nothing."""
    auth: str | None = "partman_auth"
    """Owns the functions that find a tenant before one is known."""
    seed: str | None = "partman_seed"
    """What development data is loaded as."""
    console: str | None = "partman_console"
    """What the console works as: a tenant's rows only inside of ``tenant()``."""

    @property
    def all(self) -> tuple[str, ...]:
        """Those that the project has."""
        named = (getattr(self, one.name) for one in fields(self))
        return tuple(name for name in named if name is not None)


@dataclass(frozen=True)
class Tenancy:
    """Which table holds the tenants, and how the rows of other tables say whose they are.

    All names are plain lower-case SQL names, which need no quotes. Raises SettingsError for others.
    """

    table: str = "organizations"
    """The table of the tenants; its primary key is ``id``."""
    column: str = "organization_id"
    """The column of every other tenant table that refers to it."""
    key: Key = Key.UUID
    """The type of both."""
    roles: Roles = field(default_factory=Roles)
    setting: str = "partman.organization_id"
    """The session setting that holds the ID of the current tenant; set for one transaction."""

    def __post_init__(self) -> None:
        """Refuse names that would have to be quoted."""
        for name in (self.table, self.column, *self.roles.all):
            if not _NAME.fullmatch(name):
                raise SettingsError(
                    f"Tenancy: {name!r} is not a plain lower-case SQL name. Nothing was done."
                )
        if not _SETTING.fullmatch(self.setting):
            raise SettingsError(
                f"Tenancy: the setting {self.setting!r} must have the form prefix.name, in "
                "lower case. Nothing was done."
            )
